"""A configuration for who sends nothing: variables that are not set have something stand in for them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import structs

from ccproxy_trio.settings.fault import ConfigError
from ccproxy_trio.settings.load import Loaded, find_config, load, resolve

_MISSING = re.compile(r"The variable (\w+) is (?:not set|set but empty)\b")


def resolve_unsent(explicit: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Find and load the configuration as `load.resolve` does, but for lack of a variable nobody is refused.

    In place of a key, an address or a name there is then one made of the variable's. The notes name them.
    The result must never be sent anywhere.

    Raises:
        ConfigError: there is none, or it has faults other than that.
    """
    path = find_config(explicit, environ)
    if path is None:
        return resolve(None, environ)
    try:
        return load(path, environ)
    except ConfigError as error:
        missing = _missing(error)
        if not missing:
            raise
        return _with_stand_ins(path, environ, missing, error)


def _missing(error: ConfigError) -> list[str]:
    found = (_MISSING.match(fault.message) for fault in error.faults)
    return sorted({match[1] for match in found if match})


def _with_stand_ins(
    path: Path, variables: Mapping[str, str], missing: list[str], first: ConfigError
) -> Loaded:
    """Try for each variable what fits where it is used; nothing says whether that is a key or an address."""
    chosen: dict[str, str] = {name: next(_forms(name)) for name in missing}
    loaded, faults = _tried(path, {**variables, **chosen})
    # Twice: whether the files that a configuration names can be read is looked at once all else is right.
    overcome: set[str] = set()
    for name in missing * 2:
        for form in () if loaded is not None else _forms(name):
            attempt, left = _tried(path, {**variables, **chosen, name: form})
            if faults - left and not overcome & left:
                overcome |= faults - left
                loaded, faults, chosen[name] = attempt, left, form
                break
    if loaded is None:
        others = [fault for fault in first.faults if not _MISSING.match(fault.message)]
        raise ConfigError(others or first.faults) from None
    note = f"Not set, so something stands in for it here: {', '.join(missing)}."
    # What its loader noted may be about a stand-in, and says nothing then.
    return structs.replace(loaded, notes=(note,))


def _tried(path: Path, variables: Mapping[str, str]) -> tuple[Loaded | None, frozenset[str]]:
    try:
        return load(path, variables), frozenset()
    except ConfigError as error:
        return None, frozenset(map(str, error.faults))


def _forms(name: str) -> Iterator[str]:
    """A word for keys, names and parts of addresses; an address; and what switches a proxy off."""
    word = name.lower().replace("_", "-").strip("-") or "unset"
    yield word
    yield f"https://{word}.invalid"
    yield "none"
