"""What a provider's refusals teach about one of its models, and who remembers it.

A lesson is a change of the model's dialect, in the same switches that an operator may set in `options`. So a
request that a lesson was applied to is the one that the printed option would have led to, and no lesson can
do to a request what the translation does not do anyway: leave messages or tools out.
"""

import json
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import UNSET, Struct

from ccproxy_trio.settings.model import DialectOptions


class Lesson(Struct, frozen=True):
    """A part of the request was refused (`parameter`); with `switches` set, it went through."""

    parameter: str
    switches: DialectOptions

    def words(self) -> str:
        """The lesson for people: `temperature: "temperature": false`."""
        return f"{self.parameter}: {_members(chosen(self.switches))}"


class Learned(Struct, frozen=True, kw_only=True):
    """A lesson that was new.

    `line` is what to put into the provider's entry of the configuration, so that the detour is saved: its
    options as they are, and all that was learned of the model. Options hold for `others` of its models too.
    """

    words: str
    line: str
    others: tuple[str, ...]


def chosen(options: DialectOptions) -> dict[str, object]:
    """The switches that are set, by name, in their own order."""
    return {name: value for name, value in msgspec.structs.asdict(options).items() if value is not UNSET}


# Switches that are lists of what is refused: one more refusal says nothing against the others.
GROWING = frozenset({"leave_out", "refused_betas"})


def over(options: DialectOptions, upper: DialectOptions) -> DialectOptions:
    """Both, the upper ones winning; lists of what is refused are put together."""
    return msgspec.structs.replace(options, **grown(chosen(options), chosen(upper)))


def grown(lower: Mapping[str, object], upper: Mapping[str, object]) -> dict[str, object]:
    """The upper switches, where they are lists of what is refused with what the lower ones refuse."""
    return {
        name: _joined(lower.get(name), value) if name in GROWING else value for name, value in upper.items()
    }


def _joined(lower: object, upper: object) -> object:
    match lower, upper:
        case tuple(), tuple():
            return tuple(dict.fromkeys((*lower, *upper)))
        case _:
            return upper


def together(lessons: Iterable[Lesson]) -> tuple[Lesson, ...]:
    """One lesson a parameter, the later switches winning: what was tried on the way is of no interest."""
    found: dict[str, DialectOptions] = {}
    for lesson in lessons:
        found[lesson.parameter] = over(found.get(lesson.parameter, DialectOptions()), lesson.switches)
    return tuple(Lesson(parameter, switches) for parameter, switches in found.items())


def taught(known: tuple[Lesson, ...], lesson: Lesson) -> tuple[Lesson, ...]:
    """The lessons with one more. Those that it overrules altogether are forgotten, so they stay few."""
    return (*(old for old in known if not _is_overruled(old, lesson)), lesson)


def _is_overruled(old: Lesson, lesson: Lesson) -> bool:
    mine, others = chosen(lesson.switches), chosen(old.switches)
    if not others.keys() <= mine.keys():
        return False
    together_with_it = grown(mine, others)
    return all(together_with_it[name] == mine[name] for name in others.keys() & GROWING)


class Notebook:
    """What is known of a provider's models. Outlives the actor's incarnations.

    What a provider refuses does not change because something of ours crashed, and the operator is told each
    thing once. The lessons of a model are as many as there are switches at most.
    """

    def __init__(self, options: DialectOptions | None = None, models: tuple[str, ...] = ()) -> None:
        self._options = DialectOptions() if options is None else options
        self._models = models
        self._lessons: dict[str, tuple[Lesson, ...]] = {}

    def revised(self, options: DialectOptions, models: tuple[str, ...]) -> "Notebook":
        """What is still good to know under another configuration of the same provider.

        Other options are the operator's own answer to what was learned, so they begin with an empty book.
        """
        book = Notebook(options, models)
        if options == self._options:
            book._lessons = {model: lessons for model, lessons in self._lessons.items() if model in models}
        return book

    def of(self, model: str) -> tuple[Lesson, ...]:
        """The lessons of a model, later ones overruling."""
        return self._lessons.get(model, ())

    @property
    def lessons(self) -> Mapping[str, tuple[Lesson, ...]]:
        """Those of every model that has any."""
        return dict(self._lessons)

    def learn(self, model: str, lesson: Lesson) -> Learned | None:
        """Remember. None: that was known already, and is in force."""
        known = self.of(model)
        in_force = _folded(DialectOptions(), known)
        if over(in_force, lesson.switches) == in_force:
            return None
        self._lessons[model] = taught(known, lesson)
        options = _folded(self._options, self._lessons[model])
        return Learned(
            words=lesson.words(),
            line=f'"options": {{{_members(chosen(options))}}}',
            others=tuple(other for other in self._models if other != model),
        )


def _folded(options: DialectOptions, lessons: Iterable[Lesson]) -> DialectOptions:
    for lesson in lessons:
        options = over(options, lesson.switches)
    return options


def _members(switches: Mapping[str, object]) -> str:
    return json.dumps(msgspec.to_builtins(switches), ensure_ascii=False)[1:-1]
