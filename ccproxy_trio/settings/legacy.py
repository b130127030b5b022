"""The environment variables of fuergaosi233/claude-code-proxy, as the one provider that they describe.

The variables become the lines of a `providers.json`, and everything else goes through that: what `migrate`
prints and what the proxy runs with in the meantime cannot differ. Pure: the environment is an argument.

Traps that are on purpose: ANTHROPIC_API_KEY is the key that clients must send, not a provider's. MAX_RETRIES
was read and never used. MIDDLE_MODEL is BIG_MODEL unless set. Values carry quotes, spaces and comments.
"""

import json
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct, structs

from ccproxy_trio.settings.fault import ConfigError, ConfigFault
from ccproxy_trio.settings.source import Document, Json
from ccproxy_trio.settings.substitute import trim
from ccproxy_trio.settings.validate import Valid, validate

FILE = "environment"
KEY = "OPENAI_API_KEY"
ONE_RGS = "PREFERRED_PROVIDER"  # a variable that only 1rgs/claude-code-proxy has
_HEADER = "CUSTOM_HEADER_"
_REFERABLE = re.compile(r"[A-Za-z0-9_]+")
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_READ_ELSEWHERE = {
    "ANTHROPIC_API_KEY": "the key that clients must send; it stays a variable (or goes into client_api_keys)",
    "HOST": "stays a variable, or --host; without it the proxy listens on 127.0.0.1 only",
    "PORT": "stays a variable, or --port",
    "LOG_LEVEL": "stays a variable, or --log-level",
    "MIN_TOKENS_LIMIT": "has no equivalent: max_tokens is never raised",
}


class Line(Struct, frozen=True, kw_only=True):
    """One key of the provider, the variables it came from, and a remark for who reads the file."""

    key: str
    value: Json
    variables: tuple[str, ...] = ()
    remark: str = ""


def speaks_legacy(environ: Mapping[str, str]) -> bool:
    """Whether there is enough in the environment for a provider."""
    return bool(trim(environ.get(KEY, "")))


def from_environment(environ: Mapping[str, str]) -> Valid:
    """The settings that the variables describe.

    Raises:
        ConfigError: the variables do not make a provider; the faults name the variables.
    """
    lines = _lines(environ)
    data: Json = {"providers": [{line.key: line.value for line in lines}]}
    try:
        return validate(Document(file=FILE, data=data), environ)
    except ConfigError as error:
        # BIG_MODEL can be wrong in two places at once; dict.fromkeys keeps one of equal faults.
        raise ConfigError(dict.fromkeys(_by_variable(fault, lines) for fault in error.faults)) from None


def migrate(environ: Mapping[str, str]) -> str:
    """The text of the `providers.json` that replaces the variables; it refers to keys and holds none.

    Raises:
        ConfigError: the variables do not make a provider; the faults name the variables.
    """
    if not speaks_legacy(environ):
        message = "is not set, so there is nothing to migrate; name your .env file with --env-file."
        raise ConfigError([ConfigFault(file=FILE, path=KEY, message=message)])
    from_environment(environ)
    lines = _lines(environ)
    return "\n".join(
        (
            "// providers.json for ccproxy-trio, made from: " + ", ".join(variables(environ)) + ".",
            "// Save it as providers.json in your configuration folder, or name it with --config.",
            "// The file has no keys in it: those stay environment variables. .env files are not read.",
            "{",
            '  "providers": [',
            "    {",
            *(text for line in lines for text in _printed(line, last=line is lines[-1])),
            "    }",
            "  ]",
            "}",
            *(f"// {name}: {what}." for name, what in _READ_ELSEWHERE.items() if name in environ),
            "",
        )
    )


def variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that were used, in the order of the file's keys."""
    return tuple(dict.fromkeys(name for line in _lines(environ) for name in line.variables))


def tidy(value: str) -> str:
    """A variable as people meant it: no white space or quotes around it, no ` # comment` behind it."""
    value = value.strip()
    quoted = re.match(r"""(["'])(.*?)\1""", value)
    return trim(quoted.group(2) if quoted else re.split(r"(?:^|\s)#", value, maxsplit=1)[0])


def refuse_1rgs(names: Mapping[str, object], signs: tuple[str, ...] = (ONE_RGS,)) -> None:
    """Refuse the variables of 1rgs/claude-code-proxy: the same names mean other things there.

    Raises:
        ConfigError: one of the `signs` is among the names.
    """
    sign = next((name for name in signs if name in names), None)
    if sign:
        message = (
            "is a variable of 1rgs/claude-code-proxy, where ANTHROPIC_API_KEY is a provider's key and "
            "BIG_MODEL serves sonnet; those variables are not read yet. Write a providers.json, or unset it."
        )
        raise ConfigError([ConfigFault(file=FILE, path=sign, message=message)])


def _lines(environ: Mapping[str, str]) -> list[Line]:
    refuse_1rgs(environ)
    given = _Variables(environ)
    lines = list(_provider(given))
    if given.faults:
        raise ConfigError(given.faults)
    return lines


class _Variables:
    """The variables, tidied; what is wrong with them collects in `faults`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[ConfigFault] = []

    def text(self, name: str) -> str:
        """A variable's value ready for the file (a dollar doubled), or nothing."""
        value = tidy(self._environ.get(name, ""))
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fault(name, "is not UTF-8.")
        return value.replace("$", "$$")

    def number(self, name: str) -> float | None:
        """A variable's value as a number, or None."""
        value = self.text(name)
        if value and not _NUMBER.fullmatch(value):
            self.fault(name, "should be a number.")
            return None
        return (float(value) if "." in value else int(value)) if value else None

    def headers(self) -> dict[str, str]:
        """References to the variables of headers, by header name."""
        headers = {}
        for name in sorted(name for name in self._environ if name.startswith(_HEADER)):
            header = name.removeprefix(_HEADER).replace("_", "-")
            if not _REFERABLE.fullmatch(name):
                self.fault(_HEADER + "...", "should have letters, digits and underscores only behind it.")
            elif header and trim(self._environ[name]):
                headers[header] = f"${{{name}}}"
        return headers

    def fault(self, name: str, message: str) -> None:
        """Note what is wrong with a variable."""
        self.faults.append(ConfigFault(file=FILE, path=name, message=message))


def _provider(given: _Variables) -> Iterator[Line]:
    version = given.text("AZURE_API_VERSION")
    base_url = given.text("OPENAI_BASE_URL")
    if version and not base_url:
        given.fault(
            "OPENAI_BASE_URL", "is not set; with AZURE_API_VERSION it is the Azure resource's address."
        )
    yield Line(key="name", value="azure" if version else "openai")
    yield Line(key="api_key", value=f"${{{KEY}}}", variables=(KEY,))
    where = base_url or "https://api.openai.com/v1"
    yield Line(key="base_url", value=where, variables=("OPENAI_BASE_URL",) if base_url else ())
    if version:
        yield Line(key="api_version", value=version, variables=("AZURE_API_VERSION",))
        yield Line(key="profile", value="azure", variables=("AZURE_API_VERSION",))
    elif where.rstrip("/").endswith("/messages"):
        remark = "its address is one of Anthropic's own API"
        yield Line(key="profile", value="anthropic", variables=("OPENAI_BASE_URL",), remark=remark)
    yield from _limits(given)
    headers = given.headers()
    if headers:
        names = tuple(value[2:-1] for value in headers.values())
        yield Line(key="custom_headers", value=dict(headers), variables=names)
    yield _models(given)


def _limits(given: _Variables) -> Iterator[Line]:
    timeout = given.number("REQUEST_TIMEOUT")
    if timeout is not None:
        remark = "seconds to the first content; an answer that flows may take longer"
        yield Line(key="timeout", value=timeout, variables=("REQUEST_TIMEOUT",), remark=remark)
    retries = given.number("MAX_RETRIES")
    if retries is not None:
        remark = "the old proxy ignored MAX_RETRIES"
        yield Line(key="max_retries", value=retries, variables=("MAX_RETRIES",), remark=remark)
    cap = given.number("MAX_TOKENS_LIMIT")
    if cap is not None:
        remark = "max_tokens of a request is cut to this; leave it out unless your provider needs it"
        options: Json = {"output_cap": cap}
        yield Line(key="options", value=options, variables=("MAX_TOKENS_LIMIT",), remark=remark)


def _models(given: _Variables) -> Line:
    big = given.text("BIG_MODEL")
    middle = given.text("MIDDLE_MODEL")
    small = given.text("SMALL_MODEL")
    chosen = {"BIG_MODEL": big, "MIDDLE_MODEL": middle, "SMALL_MODEL": small}
    big = big or "gpt-4o"
    models: Json = {"big": [big], "middle": [middle or big], "small": [small or "gpt-4o-mini"]}
    used = tuple(name for name, value in chosen.items() if value)
    remark = "opus (and names unknown), sonnet, haiku; each list may have further models to fall back to"
    return Line(key="models", value=models, variables=used, remark=remark)


def _by_variable(fault: ConfigFault, lines: list[Line]) -> ConfigFault:
    """The same fault, named after the variables: nobody has written a `providers[0]` here."""
    guilty = (line for line in lines if re.match(rf"providers\[0\]\.{line.key}\b", fault.path))
    names = next((", ".join(line.variables) for line in guilty if line.variables), fault.path)
    return structs.replace(fault, path=names)


def _printed(line: Line, *, last: bool) -> Iterator[str]:
    if line.remark:
        yield f"      // {line.remark}"
    depth = 2 if isinstance(line.value, dict) else None
    value = json.dumps(line.value, ensure_ascii=False, indent=depth)
    value = re.sub(r"\[\n\s+(.*)\n\s+\]", r"[\1]", value).replace("\n", "\n      ")
    yield f'      "{line.key}": {value}{"" if last else ","}'
