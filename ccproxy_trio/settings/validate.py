"""A document becomes `Settings`, or all that is wrong with it at once.

The Structs of `model.py` say what is right: this walks what msgspec knows of them (`msgspec.inspect`), so a
key, a type or a bound is written once. What concerns several keys at a time is in `rules.py`. Only a tree
without faults is handed to `msgspec.convert`.

Strings are expanded on the way, exactly where a string is expected: a variable can never become a number, a
switch or a key. Of a disabled provider, variables without a value are no fault; something stands in for them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct, inspect, structs

from ccproxy_trio.settings.fault import ConfigError, ConfigFault, Path, did_you_mean
from ccproxy_trio.settings.model import PASSTHROUGH, ProviderSettings, Settings
from ccproxy_trio.settings.rules import RULES, UNKNOWN_URL, on_this_machine
from ccproxy_trio.settings.source import Document, Json
from ccproxy_trio.settings.substitute import Expanded, expand, header_problem, key_problem, proxy_problem
from ccproxy_trio.settings.wanted import (
    TAKES,
    Number,
    alternative,
    bare,
    bounds,
    described,
    extra,
    json_kind,
    shown,
    text_problem,
    type_hint,
    unknown_key,
    within,
)

SUSPICIOUSLY_LONG = 7200.0  # seconds; above it, somebody may have thought in milliseconds
NOTHING = ("", "none")  # a proxy or a ca_bundle that is switched off
_STAND_INS = (UNKNOWN_URL, "variable-not-set")


class Valid(Struct, frozen=True):
    """Settings without faults, the warnings that came up, and the paths of secrets that stand in the file."""

    settings: Settings
    notes: tuple[ConfigFault, ...]
    literals: tuple[Path, ...]


def validate(document: Document, environ: Mapping[str, str]) -> Valid:
    """Check a document against the Structs and the rules, with variables taken from `environ`.

    Raises:
        ConfigError: with every fault of the document.
    """
    walk = _Walk(document, environ)
    tree = walk.value(inspect.type_info(Settings), document.data, ())
    known = {(fault.line, fault.column) for fault in document.faults}  # one fault a place is enough
    faults = [*document.faults, *(found for found in walk.faults if (found.line, found.column) not in known)]
    if faults:
        raise ConfigError(faults)
    settings = msgspec.convert(tree, Settings, dec_hook=_secret)
    return Valid(_settled(settings), tuple(walk.notes), tuple(walk.literals))


def _secret(kind: type, value: Any) -> Any:
    return kind(value)


def _settled(settings: Settings) -> Settings:
    """The forms that everybody above relies on: no slash behind an address, no bound below what it bounds."""
    breaker = settings.circuit_breaker
    bounded = structs.replace(
        breaker,
        max_recovery_timeout=max(breaker.max_recovery_timeout, breaker.recovery_timeout),
        cooldown_max=max(breaker.cooldown_max, breaker.cooldown_default),
    )
    providers = tuple(_connected(provider, settings) for provider in settings.providers)
    search = settings.web_search
    if search is not None:
        search = structs.replace(search, searxng=search.searxng.rstrip("/"))
    return structs.replace(
        settings,
        circuit_breaker=bounded,
        providers=providers,
        web_search=search,
        ca_bundle=_something(settings.ca_bundle),
    )


def _connected(provider: ProviderSettings, settings: Settings) -> ProviderSettings:
    """A provider with the file's word on how it is reached, where it has none of its own.

    What is on this machine is not reached through somebody else's.
    """
    proxy, bundle = provider.proxy, provider.ca_bundle
    if proxy is UNSET and settings.proxy is not None and not on_this_machine(provider.base_url):
        proxy = settings.proxy
    if bundle is UNSET and settings.ca_bundle is not None:
        bundle = settings.ca_bundle
    return structs.replace(
        provider,
        base_url=provider.base_url.rstrip("/"),
        proxy=proxy,
        ca_bundle=UNSET if bundle is UNSET else _something(bundle),
    )


def _something(path: str | None) -> str | None:
    return None if path in NOTHING else path


class _Bad:
    """The place of a value that has a fault."""


_BAD = _Bad()


class _Walk:
    """One pass over the document, a method a type: each gives the checked value, or `_BAD` and notes a fault.

    `lenient` holds inside a disabled provider.
    """

    def __init__(self, document: Document, environ: Mapping[str, str], *, lenient: bool = False) -> None:
        self._document = document
        self._environ = environ
        self._lenient = lenient
        self.faults: list[ConfigFault] = []
        self.notes: list[ConfigFault] = []
        self.literals: list[Path] = []

    def value(self, wanted: inspect.Type, given: Json, path: Path) -> object:
        """Check one value against one type."""
        chosen = alternative(wanted, given)
        kind = bare(chosen)
        if TAKES[type(kind)] != json_kind(given):
            return self._wrong_type(wanted, given, path)
        if isinstance(kind, inspect.LiteralType):
            chosen = wanted  # numbers may be right beside words, and a refusal names them too
        return _READERS[type(kind)](self, chosen, kind, given, path)

    def struct(
        self, wanted: inspect.Type, kind: inspect.StructType, given: dict[str, Json], path: Path
    ) -> object:
        """An object with known keys."""
        if kind.cls is ProviderSettings and given.get("enabled") is False and not self._lenient:
            return self._disabled(kind, given, path)
        if not given and "says" in extra(wanted):
            return self._fault(path, extra(wanted)["says"])
        fields = {field.encode_name: field for field in kind.fields}
        tree = {}
        for key, item in given.items():
            if key not in fields:
                self.faults.append(self._document.at_key((*path, key), unknown_key(key, fields)))
                continue
            tree[key] = self.value(fields[key].type, item, (*path, key))
        for field in kind.fields:
            if field.required and field.encode_name not in given:
                self._fault(path, f"lacks the key `{field.encode_name}`.")
        tree = {key: item for key, item in tree.items() if item is not _BAD}
        self._cross(kind.cls, tree, path)
        return tree

    def mapping(self, _: inspect.Type, kind: inspect.DictType, given: dict[str, Json], path: Path) -> object:
        """An object with keys of the user's own."""
        return {key: self.value(kind.value_type, item, (*path, key)) for key, item in given.items()}

    def items(
        self, wanted: inspect.Type, kind: inspect.VarTupleType, given: list[Json], path: Path
    ) -> object:
        """A list. Faulty items keep their places, so that the rules count as the file does."""
        if len(given) < (kind.min_length or 0):
            return self._fault(path, extra(wanted).get("says", "is empty."))
        checked = [self.value(kind.item_type, item, (*path, index)) for index, item in enumerate(given)]
        return [item for item in checked if item is not _BAD] if self._lenient else checked

    def text(self, wanted: inspect.Type, kind: inspect.StrType, given: str, path: Path) -> object:
        """A string, within its length and pattern."""
        expanded = self._expand(given, path)
        if not expanded.usable:
            fitting = (text for text in (given, *_STAND_INS) if text_problem(text, kind, wanted) is None)
            return self._stand_in(next(fitting))
        problem = text_problem(expanded.text, kind, wanted)
        return self._fault(path, problem) if problem else expanded.text

    def choice(self, wanted: inspect.Type, kind: inspect.LiteralType, given: str, path: Path) -> object:
        """One of a few words. What was written is not repeated: a key may have slipped to here.

        `wanted` is all that would be right, words or not.
        """
        expanded = self._expand(given, path)
        words = [str(word) for word in kind.values]
        if not expanded.usable:
            return _BAD
        if expanded.text in words:
            return expanded.text
        hint = "" if expanded.referred else did_you_mean(given, words)
        return self._fault(path, f"should be {described(wanted)}.{hint}")

    def secret(self, _: inspect.Type, __: inspect.CustomType, given: str, path: Path) -> object:
        """A key, a header's value or a proxy's address."""
        expanded = self._expand(given, path)
        is_proxy = path[-1] == "proxy" and "custom_headers" not in path
        if not expanded.usable:
            return self._stand_in(None if is_proxy else _STAND_INS[-1])
        text = expanded.text.strip()
        if not expanded.referred and text != PASSTHROUGH:
            self.literals.append(path)
        if is_proxy:
            return self._proxy(text, path)
        problem = header_problem(text) if "custom_headers" in path else key_problem(text)
        return self._fault(path, problem) if problem else text

    def _proxy(self, text: str, path: Path) -> object:
        if text in NOTHING:
            return None
        # Environments often have it without a scheme, and everybody takes that for http.
        address = text if "://" in text else f"http://{text}"
        problem = proxy_problem(address)
        return self._fault(path, problem) if problem else address

    def number(self, wanted: inspect.Type, kind: Number, given: Any, path: Path) -> object:
        """A number within its bounds."""
        if isinstance(kind, inspect.IntType) and isinstance(given, float):
            return self._wrong_type(wanted, given, path)
        unit = extra(wanted).get("unit", "")
        if not within(kind, given):
            too_long = unit == "seconds" and given > 0
            hint = " Times are in seconds, not milliseconds." if too_long else ""
            return self._fault(path, f"should be {bounds(kind)}{unit and ' ' + unit}.{hint}")
        if unit == "seconds" and given > SUSPICIOUSLY_LONG:
            message = f"is {given / 3600:.3g} hours; times are in seconds, not milliseconds."
            self.notes.append(self._document.at_value(path, message))
        return given

    def same(self, _: inspect.Type, __: inspect.Type, given: Json, ___: Path) -> object:
        """A switch, or null: nothing more to check."""
        return given

    def _disabled(self, kind: inspect.StructType, given: dict[str, Json], path: Path) -> object:
        inner = _Walk(self._document, self._environ, lenient=True)
        tree = inner.struct(kind, kind, given, path)
        self.faults += inner.faults  # its warnings concern nobody
        self.literals += inner.literals
        return tree

    def _cross(self, owner: type, tree: Mapping[str, Any], path: Path) -> None:
        rule = RULES.get(owner)
        for finding in rule(tree) if rule else ():
            place = (*path, *finding.path)
            point = self._document.at_key if finding.at_key else self._document.at_value
            (self.faults if finding.fatal else self.notes).append(point(place, finding.message))

    def _expand(self, given: str, path: Path) -> Expanded:
        expanded = expand(given, self._environ)
        for problem in expanded.malformed if self._lenient else expanded.malformed + expanded.missing:
            self._fault(path, problem)
        return expanded

    def _stand_in(self, text: str | None) -> object:
        return text if self._lenient else _BAD

    def _wrong_type(self, wanted: inspect.Type, given: Json, path: Path) -> _Bad:
        return self._fault(
            path, f"should be {described(wanted)}, not {shown(given)}.{type_hint(wanted, given)}"
        )

    def _fault(self, path: Path, message: str) -> _Bad:
        self.faults.append(self._document.at_value(path, message))
        return _BAD


_READERS: Mapping[type[inspect.Type], Callable[..., object]] = {
    inspect.StructType: _Walk.struct,
    inspect.DictType: _Walk.mapping,
    inspect.VarTupleType: _Walk.items,
    inspect.StrType: _Walk.text,
    inspect.LiteralType: _Walk.choice,
    inspect.CustomType: _Walk.secret,
    inspect.IntType: _Walk.number,
    inspect.FloatType: _Walk.number,
    inspect.BoolType: _Walk.same,
    inspect.NoneType: _Walk.same,
}
