"""What a vendor's own parameter types say of a request, in few sentences.

Unknown keys are forbidden at every depth. Of a union's many complaints only those of the member that was
most likely meant are told.
"""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError


def adapter(kind: Any) -> TypeAdapter[Any]:
    """The judge of a type, unknown keys forbidden."""
    with warnings.catch_warnings():
        # A few types of the packages say that they take further keys, and pydantic says that they do.
        warnings.simplefilter("ignore")
        return TypeAdapter(kind, config=ConfigDict(extra="forbid"))


def type_violations(judge: TypeAdapter[Any], value: Any) -> Iterator[str]:
    """Everything that is wrong by the types, a sentence each with the path before it."""
    try:
        yield from _unknown(judge.validate_python(value, strict=True))
    except ValidationError as error:
        for fault in likeliest(error.errors(include_url=False, include_input=False)):
            yield f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def without(value: Any, keys: Iterable[str]) -> Any:
    """The value without these keys, at every depth of it."""
    dropped = frozenset(keys)
    match value:
        case dict():
            return {key: without(item, dropped) for key, item in value.items() if key not in dropped}
        case list():
            return [without(item, dropped) for item in value]
        case _:
            return value


def _unknown(value: Any) -> Iterator[str]:
    """Walk the validated value: pydantic checks `Iterable` fields only while they are read.

    A request may hold objects of an answer; their types let unknown keys pass, and keep them apart.
    """
    match value:
        case None | str() | bytes() | int() | float():
            return
        case BaseModel():
            yield from (f"{key}: Extra inputs are not permitted" for key in value.model_extra or ())
            for _, item in value:
                yield from _unknown(item)
        case dict():
            for item in value.values():
                yield from _unknown(item)
        case _:
            for item in value:
                yield from _unknown(item)


def likeliest(faults: Iterable[Any]) -> list[Any]:
    """The complaints of the union members that fit best: the fewest, and about unknown keys only."""
    branches: dict[tuple[str, ...], list[Any]] = {}
    for fault in faults:
        if fault["loc"][-1:] != ("str",):  # that it is no bare text is only ever the other possibility
            branches.setdefault(_members(fault["loc"]), []).append(fault)

    def misfit(branch: list[Any]) -> tuple[bool, int]:
        return any(fault["type"] in ("literal_error", "missing") for fault in branch), len(branch)

    return min(branches.values(), key=misfit, default=[*faults][:3])


def _members(path: tuple[object, ...]) -> tuple[str, ...]:
    """The members of unions on a path: pydantic names them by their classes."""
    return tuple(str(part) for part in path if str(part)[:1].isupper())
