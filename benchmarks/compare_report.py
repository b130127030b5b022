"""From samples to a comparison: medians with their spread, ratios round by round, and the goals."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.compare_measures import ALONE, MEASURES, Measure
from benchmarks.figures import Bound, Rounds, over_rounds
from benchmarks.goals import GOALS, Found, Judged, judge
from benchmarks.peers import OURS, Does, Peer

LITELLM = "litellm"
NO_FLAWS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Sample(Struct, frozen=True, kw_only=True):
    """One figure of one round. `program` is a peer's name, `OURS` or `ALONE`."""

    program: str
    measure: str
    round: int
    figure: float


class Gap(Struct, frozen=True, kw_only=True):
    """What was not measured, and why. Without a `measure`: the whole program."""

    program: str
    measure: str | None = None
    why: str


class Program(Struct, frozen=True, kw_only=True):
    """One that is compared. `flaws`: what its answers lack; with any it is never the best of its kind."""

    name: str
    version: str
    does: str
    remark: str = ""
    flaws: tuple[str, ...] = ()


class Row(Struct, frozen=True, kw_only=True):
    """One figure of one program.

    `samples`: a figure of each round, in order. `ratio`: of our figure to this one, round by round; None
    for our own, and where either is missing.
    """

    program: str
    measure: str
    unit: str
    figure: Rounds
    samples: tuple[float, ...]
    ratio: Rounds | None = None


class Report(Struct, frozen=True, kw_only=True):
    """The whole comparison, and what it was made with.

    `alone`: what load generator and upstream reach without a program between them.
    """

    facts: Mapping[str, str]
    programs: tuple[Program, ...]
    rows: tuple[Row, ...]
    gaps: tuple[Gap, ...]
    alone: tuple[Row, ...] = ()

    def row(self, program: str, measure: str) -> Row | None:
        """That program's figure, where there is one."""
        return next((row for row in self.rows if (row.program, row.measure) == (program, measure)), None)

    def why_not(self, program: str, measure: str) -> str | None:
        """Why there is none, where that is known."""
        found = (gap.why for gap in self.gaps if gap.program == program and gap.measure in (None, measure))
        return next(found, None)


_ByRound = Mapping[int, float]


def report(
    samples: Iterable[Sample],
    gaps: Sequence[Gap],
    *,
    peers: Sequence[Peer],
    facts: Mapping[str, str],
    flaws: Mapping[str, tuple[str, ...]] = NO_FLAWS,
) -> Report:
    """Sum up what was measured of the programs, us first among `peers`; `flaws` by their names."""
    raw: dict[tuple[str, str], dict[int, float]] = {}
    for sample in samples:
        raw.setdefault((sample.program, sample.measure), {})[sample.round] = sample.figure
    rows = [
        row
        for measure in MEASURES
        for peer in peers
        if (row := _row(measure, _beyond(raw, peer.name, measure), ours=_beyond(raw, OURS, measure), of=peer))
    ]
    programs = tuple(
        Program(
            name=peer.name,
            version=peer.version,
            does=peer.does.value,
            remark=peer.remark,
            flaws=flaws.get(peer.name, ()),
        )
        for peer in peers
    )
    alone = [
        _summed(ALONE, measure, raw[ALONE, measure.key])
        for measure in MEASURES
        if (ALONE, measure.key) in raw
    ]
    return Report(facts=facts, programs=programs, rows=tuple(rows), gaps=tuple(gaps), alone=tuple(alone))


def _beyond(raw: Mapping[tuple[str, str], _ByRound], program: str, measure: Measure) -> _ByRound:
    """A measure's figures by round, with what is not the program's doing taken off."""
    found = raw.get((program, measure.key), {})
    if measure.beyond is None:
        return found
    where = (ALONE, measure.key) if measure.beyond == ALONE else (program, measure.beyond)
    base = raw.get(where, {})
    return {number: figure - base[number] for number, figure in found.items() if number in base}


def _row(measure: Measure, found: _ByRound, *, ours: _ByRound, of: Peer) -> Row | None:
    if not found:
        return None
    row = _summed(of.name, measure, found)
    ratios = [ours[number] / figure for number, figure in found.items() if number in ours and figure > 0]
    return row if of.name == OURS or not ratios else replace(row, ratio=over_rounds(ratios))


def _summed(program: str, measure: Measure, found: _ByRound) -> Row:
    figures = tuple(found.values())
    return Row(
        program=program,
        measure=measure.key,
        unit=measure.unit,
        figure=over_rounds(figures),
        samples=figures,
    )


def found(told: Report) -> Mapping[str, Found]:
    """What the comparison says about the goals, by their keys: our figures, and the translating peers'."""
    keys = {goal.key for goal in GOALS}
    return {
        measure.key: _found(told, measure)
        for measure in MEASURES
        if measure.key in keys and told.row(OURS, measure.key) is not None
    }


def judged(told: Report) -> Sequence[Judged]:
    """The goals that the comparison is about."""
    figures = found(told)
    keys = {measure.key for measure in MEASURES}
    return judge([goal for goal in GOALS if goal.key in keys], figures)


def _found(told: Report, measure: Measure) -> Found:
    translating = {
        each.name for each in told.programs if each.does == Does.TRANSLATE.value and not each.flaws
    } - {OURS}
    medians = {
        row.program: row.figure.median
        for row in told.rows
        if row.measure == measure.key and row.program in {OURS, *translating}
    }
    rivals = {name: median for name, median in medians.items() if name != OURS}
    pick = min if measure.better is Bound.AT_MOST else max
    best = pick(rivals, key=rivals.__getitem__) if rivals else ""
    return Found(ours=medians[OURS], best=rivals.get(best), best_name=best, litellm=rivals.get(LITELLM))
