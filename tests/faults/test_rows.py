"""Every row of the matrix is a test with its id in its name, and the tests that show more of a row exist.

The rows of what providers do are there for each wire: by a test that takes `wire` and so is run on all of
them, or by tests that name theirs. Rows that a live process can only show scaled down have a second test in
virtual time, here or elsewhere.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.told import WIRES

TESTS = Path(__file__).parents[1]
ROWS = {
    "A": "01-07 09-21 23 25-27 29 30",
    "B": "01 02 04-09 11-13 15-17 19-21 23",
    "C": "01-04 06-10 12-15 18-24",
    "F": "01 03 05-09 11-14 16 17",
    "K": "01-12",
}
# id -> tests elsewhere that show more of it
BESIDES = {
    "C01": "test_one_failure_less_than_the_threshold_a_success_and_as_many_again_leave_it_closed",
    "C03": "test_of_a_hundred_that_come_at_once_exactly_one_gets_the_trial",
    "C04": "test_a_trial_whose_client_left_is_free_at_once_for_the_next_request",
    "C06": "test_every_failed_trial_doubles_the_wait_up_to_the_limit",
    "C07": "test_a_trial_that_is_rate_limited_closes_it_because_the_provider_answered",
    "C08": "test_fifty_in_flight_that_all_fail_open_it_once",
    "C09": "test_a_success_from_before_it_opened_changes_nothing",
    "C10": "test_a_provider_that_fails_every_other_request_is_opened_by_the_rate_rule_only",
    "C12": "test_an_attempt_can_be_forced_once_a_second_and_only_while_open",
    "C18": "test_all_orders_are_alike_likely_over_the_seeds test_a_shuffle_loses_nothing_and_repeats_itself",
    "C20": "test_a_good_probe_ends_the_wait_but_closes_nothing",
    "C21": "test_a_probe_that_hangs_fails_after_ten_seconds_and_the_next_one_comes",
    "C24": "test_attempts_stay_within_the_share_of_traffic_plus_the_floor",
    "F11": "test_a_crashed_provider_actor_touches_no_stream",
}


def wanted() -> set[str]:
    """All ids of the matrix."""
    ids = set()
    for family, spans in ROWS.items():
        for span in spans.split():
            first, _, last = span.partition("-")
            ids |= {f"{family}{number:02}" for number in range(int(first), int(last or first) + 1)}
    return ids


def names_of_tests() -> Iterator[str]:
    """The name of every test, and every text that may be one of its parameter's."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    yield name
                case ast.Constant(value=str(text)):
                    yield f"_{text.replace('-', '_')}"


Rows = dict[str, set[str]]  # wire -> ids


def rows_on_wires() -> Rows:
    """The ids in the names of the tests here that are run on each wire."""
    marks = {
        target.id: node.value
        for node in ast.parse((TESTS / "faults" / "watching.py").read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    rows: Rows = {wire: set() for wire in WIRES}
    for path in (TESTS / "faults").glob("test_[ab]_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                ids = re.findall(r"(?<=_)[ab]\d\d(?=_)", node.name)
                for wire in wires_of(node, marks):
                    rows[wire] |= {each.upper() for each in ids}
    return rows


def wires_of(test: ast.AsyncFunctionDef, marks: dict[str, ast.expr]) -> list[str]:
    """Those that a test is run on: all that its marks name, else all that there are if it takes `wire`."""
    if "wire" not in [argument.arg for argument in test.args.args]:
        return ["chat"]
    told = [marks.get(mark.id, mark) if isinstance(mark, ast.Name) else mark for mark in test.decorator_list]
    words = {
        leaf.value
        for mark in told
        for leaf in ast.walk(mark)
        if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
    }
    return [wire for wire in WIRES if wire in words] if "wire" in words else list(WIRES)


def test_every_row_of_what_providers_do_is_there_on_every_wire() -> None:
    rows = rows_on_wires()
    provoked = {row for row in wanted() if row[0] in "AB"}
    assert {wire: provoked - rows[wire] for wire in ("responses", "anthropic")} == {
        "responses": set(),
        "anthropic": set(),
    }


def test_a_test_is_counted_for_the_wires_that_its_marks_name_and_for_all_without() -> None:
    def wires(source: str, **marks: str) -> list[str]:
        (test,) = ast.parse(source).body
        assert isinstance(test, ast.AsyncFunctionDef)
        return wires_of(test, {name: ast.parse(code, mode="eval").body for name, code in marks.items()})

    assert wires("async def test_a01_x(wire): ...") == list(WIRES)
    assert wires("async def test_a01_x(streamed): ...") == ["chat"]
    named = "parametrize('wire', ['responses'])"
    assert wires(f"@{named}\nasync def test_a01_x(wire): ...") == ["responses"]
    assert wires("@both\nasync def test_a01_x(wire): ...", both=named) == ["responses"]
    assert wires("@parametrize('how', ['chat'])\nasync def test_a01_x(how, wire): ...") == list(WIRES)


def test_every_row_is_a_test_named_by_its_id() -> None:
    found = (re.findall(r"_([abcfk]\d\d)(?=_|$)", name) for name in names_of_tests())
    assert wanted() - {row.upper() for rows in found for row in rows} == set()


def test_what_is_said_to_show_more_of_a_row_exists() -> None:
    there = set(names_of_tests())
    assert {name for names in BESIDES.values() for name in names.split()} - there == set()
    assert set(BESIDES) <= wanted()
