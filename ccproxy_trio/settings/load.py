"""Where the configuration comes from: the only reader of files and of the environment.

The order: the file named by `--config`, the one named by CCPROXY_CONFIG, `providers.json` in the user's
configuration folder, and without any file the legacy variables. Never the working directory: the repository
that somebody happens to work in must not decide where their keys go.
"""

import io
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from msgspec import Struct, structs
from platformdirs import user_config_path

from ccproxy_trio.settings import legacy
from ccproxy_trio.settings.authorities import anchored
from ccproxy_trio.settings.fault import ConfigError, ConfigFault, did_you_mean, listed
from ccproxy_trio.settings.fault import Path as Place
from ccproxy_trio.settings.legacy import migrate, tidy
from ccproxy_trio.settings.model import Secret, Settings
from ccproxy_trio.settings.rules import on_this_machine
from ccproxy_trio.settings.scrub import secrets_of_proxy
from ccproxy_trio.settings.source import MAX_BYTES, read
from ccproxy_trio.settings.substitute import key_problem, trim
from ccproxy_trio.settings.validate import Valid, validate

__all__ = [
    "ConfigError",
    "ConfigFault",
    "Listening",
    "Loaded",
    "Stamp",
    "env_file",
    "find_config",
    "listening",
    "load",
    "migrate",
    "resolve",
    "stamp_of",
    "user_config_file",
]

CLIENT_KEY = "ANTHROPIC_API_KEY"
CONFIG_VARIABLE = "CCPROXY_CONFIG"
_LEVELS = {level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR")}
_LEVELS |= {"WARN": "WARNING", "CRITICAL": "ERROR"}
_SECRET_HEADERS = re.compile(r"authorization|api.?key|token|secret", re.IGNORECASE)


Stamp = tuple[int, int, int]  # of a file: its number, when it was written last (ns), its size in bytes


class Loaded(Struct, frozen=True, kw_only=True):
    """The settings and where they are from; `source` and `notes` (warnings, hints) are for the operator.

    `stamp` tells the file that was read from what stands there later; None where there is no file.
    """

    settings: Settings
    source: str
    path: Path | None = None
    stamp: Stamp | None = None
    notes: tuple[str, ...] = ()


class Listening(Struct, frozen=True, kw_only=True):
    """Where to listen, and how much to log: `DEBUG`, `INFO`, `WARNING` or `ERROR`."""

    host: str = "127.0.0.1"
    port: int = 8082
    log_level: str = "INFO"


def environment() -> Mapping[str, str]:
    """The process's environment, for those above who hand it on: colours, proxies, defaults."""
    return os.environ


def resolve(explicit: Path | None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Find and load the configuration. Without `environ`, the process's own.

    Raises:
        ConfigError: there is none (the text says what to do), or it has faults (the text names them all).
    """
    variables = os.environ if environ is None else environ
    path = find_config(explicit, variables)
    if path is not None:
        return load(path, variables)
    if legacy.speaks_legacy(variables):
        return _from_variables(variables)
    raise ConfigError([_nothing_found()])


def find_config(explicit: Path | None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The configuration file to use, or None. One that was named need not exist: loading it tells."""
    variables = os.environ if environ is None else environ
    if explicit is not None:
        return explicit
    named = variables.get(CONFIG_VARIABLE, "").strip()
    if named:
        return Path(os.path.expanduser(named))
    usual = user_config_file()
    return usual if os.path.lexists(usual) else None  # a dangling link is there: loading it tells


def user_config_file() -> Path:
    """Where the file is looked for when none is named (on Linux, XDG_CONFIG_HOME moves it)."""
    return user_config_path("ccproxy-trio", appauthor=False) / "providers.json"


def load(path: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """Load one configuration file. Without `environ`, variables are the process's own.

    Raises:
        ConfigError: the file cannot be read, or has faults; every one of them is in the text.
    """
    variables = os.environ if environ is None else environ
    raw, status = _contents(path)
    document = read(raw, file=str(path))
    valid = validate(document, variables)
    notes = [str(note) for note in valid.notes]
    notes += (f"{path} {warning}" for warning in _exposure(status, valid))
    settings = anchored(valid.settings, document, path.parent)
    loaded = _loaded(settings, variables, source=str(path), path=path, notes=notes)
    return structs.replace(loaded, stamp=stamp_of(status))


def stamp_of(status: os.stat_result) -> Stamp:
    """What changes when a file is written or replaced."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def listening(environ: Mapping[str, str] | None = None) -> Listening:
    """HOST, PORT and LOG_LEVEL. Of each only the first word counts; quotes and comments do no harm.

    Raises:
        ConfigError: a port that is none, a level that is none.
    """
    variables = os.environ if environ is None else environ
    host, port, level = (_first_word(variables, name) for name in ("HOST", "PORT", "LOG_LEVEL"))
    faults = []
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535):
        faults.append(
            _variable_fault("PORT", "should be a port, a number from 0 to 65535 (0 takes a free one).")
        )
    if level and level.upper() not in _LEVELS:
        choice = f"should be {listed(list(dict.fromkeys(_LEVELS.values())))}.{did_you_mean(level, _LEVELS)}"
        faults.append(_variable_fault("LOG_LEVEL", choice))
    if faults:
        raise ConfigError(faults)
    defaults = Listening()
    return Listening(
        host=host or defaults.host,
        port=int(port) if port else defaults.port,
        log_level=_LEVELS[level.upper()] if level else defaults.log_level,
    )


def env_file(path: Path) -> dict[str, str]:
    """The variables of a .env file, for `migrate`; references between them are left as they are.

    Raises:
        ConfigError: it cannot be read, or it is that of another proxy.
    """
    raw, _ = _contents(path)
    text = raw.decode("utf-8-sig", "replace")
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    legacy.refuse_1rgs(values, (legacy.ONE_RGS, "GEMINI_API_KEY"))
    return {name: value for name, value in values.items() if value is not None}


def _from_variables(environ: Mapping[str, str]) -> Loaded:
    valid: Valid = legacy.from_environment(environ)
    used = ", ".join(legacy.variables(environ))
    hint = (
        f"No configuration file: one provider from the environment ({used}). "
        "`ccproxy-trio migrate` prints the providers.json that replaces it."
    )
    notes = [hint, *(str(note) for note in valid.notes)]
    return _loaded(valid.settings, environ, source=f"environment variables ({used})", path=None, notes=notes)


def _loaded(
    settings: Settings, environ: Mapping[str, str], *, source: str, path: Path | None, notes: list[str]
) -> Loaded:
    """With the environment's client key beside the file's."""
    key = trim(environ.get(CLIENT_KEY, ""))
    if key:
        problem = key_problem(key)
        if problem:
            raise ConfigError([_variable_fault(CLIENT_KEY, problem)])
        notes = [*notes, f"{CLIENT_KEY} is set: clients must send it as their key."]
        keys = tuple(dict.fromkeys((*settings.client_api_keys, Secret(key))))
        settings = structs.replace(settings, client_api_keys=keys)
    return Loaded(settings=settings, source=source, path=path, notes=tuple(notes))


def _contents(path: Path) -> tuple[bytes, os.stat_result]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())  # before the content: what is written meanwhile shall look new
            # One byte more than allowed is enough to be refused, and /dev/zero comes to an end.
            return file.read(MAX_BYTES + 1), status
    except OSError as error:
        message = f"cannot be read: {error.strerror or type(error).__name__}."
        raise ConfigError([ConfigFault(file=str(path), message=message)]) from None


def _exposure(status: os.stat_result, valid: Valid) -> list[str]:
    """Warnings about who else can read keys out of the file, or write addresses into it."""
    if sys.platform == "win32" or not stat.S_ISREG(status.st_mode):
        return []
    warnings = []
    if status.st_mode & 0o044 and any(_matters(place, valid.settings) for place in valid.literals):
        warnings.append("holds a key and others can read it: chmod 600, or refer to a variable as ${NAME}.")
    if status.st_mode & 0o022:
        warnings.append("can be written by others, who then decide where your keys go: chmod go-w.")
    if status.st_uid not in (0, os.getuid()):
        warnings.append("belongs to another user, who decides where your keys go.")
    return warnings


def _matters(place: Place, settings: Settings) -> bool:
    """Whether a secret that stands in the file is one. The keys of servers on this machine are dummies."""
    match place:
        case ("providers", int(index), "api_key"):
            return not on_this_machine(settings.providers[index].base_url)
        case ("providers", _, "custom_headers", str(name)):
            return bool(_SECRET_HEADERS.search(name))
        case ("providers", int(index), "proxy"):
            return bool(secrets_of_proxy(settings.providers[index].outgoing_proxy))
        case ("proxy",):
            return bool(secrets_of_proxy(settings.proxy))
        case _:
            return True


def _first_word(environ: Mapping[str, str], name: str) -> str:
    words = tidy(environ.get(name, "")).split()
    return words[0] if words else ""


def _variable_fault(name: str, message: str) -> ConfigFault:
    return ConfigFault(file="environment", path=name, message=message)


def _nothing_found() -> ConfigFault:
    return ConfigFault(
        file="configuration",
        message=(
            "There is none yet. Any of these will do:\n"
            "  - see it work first, with no key at all:  ccproxy-trio demo\n"
            "  - set OPENAI_API_KEY (and, where they differ, OPENAI_BASE_URL, BIG_MODEL, SMALL_MODEL)\n"
            f"  - write {user_config_file()} (or name a file with --config or {CONFIG_VARIABLE}):\n"
            '      {"providers": [{\n'
            '        "name": "openai", "api_key": "${OPENAI_API_KEY}", "base_url": "https://api.openai.com/v1",\n'
            '        "models": {"big": ["gpt-4o"], "middle": ["gpt-4o"], "small": ["gpt-4o-mini"]}}]}'
        ),
    )
