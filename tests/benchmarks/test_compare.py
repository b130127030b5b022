"""Peers are found, started and compared as they are told to be; no registry is asked here."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks.__main__ import main
from benchmarks.compare_measures import ALONE, HEALTHY, LOADS, MEASURES, Failing
from benchmarks.compare_report import Gap, Report, Sample, found, judged, report
from benchmarks.compare_run import OURSELVES, Notes, housed
from benchmarks.compare_tables import tables
from benchmarks.goals import Found
from benchmarks.peers import OURS, PEERS, Given, Misnamed, NodePackage, Peer, PythonPackage, chosen, given
from benchmarks.peers_check import flaws_of_stream, flaws_of_whole
from benchmarks.peers_install import Uninstallable, installed, manifest, reason
from benchmarks.peers_launch import (
    BIG,
    MIDDLE,
    SMALL,
    Launch,
    Route,
    Site,
    ask,
    asked_name,
    environment,
    launch,
)
from benchmarks.subjects import Mode
from ccproxy_trio.settings.model import Settings

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny_peer.py")
UPSTREAM = "http://127.0.0.1:9/v1"
ROUTES = {
    BIG: Route(model="burst-100", first="http://127.0.0.1:1/v1"),
    MIDDLE: Route(model="paced-5-at-100"),
    SMALL: Route(model="burst-20"),
}


# -- who is compared ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("litellm,ccr", ["litellm", "ccr"]),
        (" ccr , litellm,ccr", ["ccr", "litellm"]),
        ("none", []),
        ("", []),
    ],
)
def test_peers_are_chosen_by_name_in_the_order_given(names: str, expected: list[str]) -> None:
    assert [peer.name for peer in chosen(names)] == expected


def test_an_unknown_peer_is_told_with_those_there_are_and_the_way_to_add_one() -> None:
    with pytest.raises(Misnamed, match=r"'nobody'.*litellm, ccr.*--peer NAME=COMMAND"):
        chosen("litellm,nobody")


@pytest.mark.parametrize(
    ("text", "name", "words", "prefix"),
    [
        ("mine=serve {port}", "mine", ("serve", "{port}"), ""),
        ("mine@gpt-=serve 'a b'", "mine", ("serve", "a b"), "gpt-"),
        ("mine@openai/=serve --to={upstream}", "mine", ("serve", "--to={upstream}"), "openai/"),
    ],
)
def test_a_peer_is_given_as_a_command_line(text: str, name: str, words: tuple[str, ...], prefix: str) -> None:
    peer = given(text)
    assert peer.name == name
    assert peer.source == Given(words=words, prefix=prefix)
    assert not peer.falls_back


@pytest.mark.parametrize(
    "text",
    ["serve {port}", "=serve", "mine=", "my peer=serve", "mine='serve", "litellm=serve", f"{OURS}=serve"],
)
def test_a_peer_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Misnamed):
        given(text)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--peer", "serve"], "write NAME=COMMAND, such as: mine=python server.py --port {port}"),
        (["--peer", "a=x", "--peer", "a=y"], "two peers have the same name"),
        (["--peers", "nobody"], "there are litellm, ccr, "),
    ],
)
def test_the_command_says_what_to_write_instead(options: list[str], told: str) -> None:
    ended = CliRunner().invoke(main, ["compare", *options], terminal_width=1000)
    assert ended.exit_code == 2
    assert told in " ".join(ended.output.replace("│", " ").split())


def test_the_help_shows_how_a_program_from_no_registry_is_given() -> None:
    told = CliRunner().invoke(main, ["compare", "--help"]).output
    assert "--peer 'fuergaosi233@gpt-=CLONE/.venv/bin/python CLONE/start_proxy.py'" in told


def test_every_known_peer_is_pinned_to_the_version_it_is_told_with() -> None:
    for peer in PEERS.values():
        match peer.source:
            case PythonPackage(requirement=requirement):
                assert requirement.endswith(f"=={peer.version}")
            case NodePackage(version=version):
                assert version == peer.version
            case _:
                pytest.fail(f"{peer.name} comes from nowhere")


# -- installing -----------------------------------------------------------------------------------------

NOWHERE = Peer(name="nowhere", version="1", source=PythonPackage(requirement="never-asked-for==1"))


@pytest.mark.process
async def test_an_uninstallable_peer_becomes_a_row_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)  # pip looks nowhere
    notes = Notes()
    homes = await housed([NOWHERE, given("mine=serve")], tmp_path, notes, tell=lambda _: None)
    assert [home.peer.name for home in homes] == ["mine"]
    drawn = _drawn(report([], notes.gaps, peers=[OURSELVES, NOWHERE], facts={}))
    assert "not measured: it could not be installed: ERROR: No matching" in " ".join(drawn.split())


async def test_what_is_installed_already_is_used_and_what_is_only_half_there_is_not(tmp_path: Path) -> None:
    kept, into, peer = tmp_path / "kept", tmp_path / "into", given("mine=serve")
    half = kept / "mine-as given"
    half.mkdir(parents=True)
    (half / "left over").touch()
    assert await installed(peer, into, kept=kept) == into / "mine-as given"
    (half / "installed").touch()
    assert await installed(peer, into, kept=kept) == half
    into_half = await installed(given("other=serve"), half.parent, kept=kept)
    assert (into_half / "installed").exists()


async def test_a_half_installation_is_begun_anew(tmp_path: Path) -> None:
    half = tmp_path / "mine-as given"
    half.mkdir()
    (half / "left over").touch()
    assert await installed(given("mine=serve"), tmp_path, kept=tmp_path / "none") == half
    assert not (half / "left over").exists()


async def test_without_npm_a_node_package_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Uninstallable, match="needs node and npm"):
        await installed(PEERS["ccr"], tmp_path, kept=tmp_path / "none")


def test_npm_is_asked_for_one_package_and_for_the_versions_that_it_needs() -> None:
    source = PEERS["portkey"].source
    assert isinstance(source, NodePackage)
    assert manifest(source) == {
        "private": True,
        "dependencies": {"@portkey-ai/gateway": "1.15.2"},
        "overrides": {"@hono/node-server": "1.9.1"},
    }


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("", "nothing was said"),
        ("one\n\n two \n", "two"),
        ("ERROR: first\nERROR: last\nand then some", "ERROR: last"),
        (
            "npm error code E404\nnpm error 404  It is not here.\nnpm error 404\n",
            "npm error 404  It is not here.",
        ),
    ],
)
def test_a_failed_installation_is_told_by_the_line_that_says_most(printed: str, told: str) -> None:
    assert reason(printed) == told


# -- starting -------------------------------------------------------------------------------------------


def _site(folder: Path) -> Site:
    return Site(port=8123, home=folder / "home", folder=folder, upstream=UPSTREAM, routes=ROUTES)


def _said(launched: Launch) -> str:
    files = b" ".join(launched.files.values()).decode()
    return " ".join([*launched.command, *launched.environment.values(), files])


@pytest.mark.parametrize("peer", [OURSELVES, *PEERS.values(), given("mine=serve {port} {upstream}")], ids=str)
def test_every_program_is_told_its_port_and_nothing_but_loopback(peer: Peer, tmp_path: Path) -> None:
    said = _said(launch(peer, _site(tmp_path)))
    assert "8123" in said
    assert "127.0.0.1" in said
    assert "0.0.0.0" not in said
    if peer.name != "portkey":  # is told with each request
        assert UPSTREAM in said


def test_the_gateway_is_told_the_upstream_with_each_request(tmp_path: Path) -> None:
    wanted = ask(PEERS["portkey"], _site(tmp_path), SMALL, Mode.WHOLE)
    assert wanted.headers["x-portkey-custom-host"] == UPSTREAM
    assert wanted.path == "/v1/chat/completions"


def test_placeholders_are_filled_in_and_other_braces_left_alone(tmp_path: Path) -> None:
    launched = launch(given("mine=serve --at={port} '{\"to\": {upstream}}' {}"), _site(tmp_path))
    assert launched.command == ("serve", "--at=8123", f'{{"to": {UPSTREAM}}}', "{}")
    assert launched.environment["OPENAI_BASE_URL"] == UPSTREAM
    assert launched.environment["PORT"] == "8123"


def test_no_program_sees_the_environment_of_whoever_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-mine")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3")
    for peer in [*PEERS.values(), given("mine=serve")]:
        launched = launch(peer, _site(tmp_path))
        seen = environment(launched, tmp_path)
        assert set(seen) == {"PATH", "HOME", "TMPDIR", *launched.environment}
        assert "of-mine" not in seen.values()
        assert seen["HOME"] == seen["TMPDIR"] == str(tmp_path)


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        (OURSELVES, BIG),
        (PEERS["litellm"], BIG),
        (PEERS["ccr"], "first-big,burst-100"),
        (PEERS["openai2claude"], "burst-100"),
        (given("mine@gpt-=serve"), "gpt-burst-100"),
    ],
)
def test_models_are_asked_for_by_the_name_that_leads_to_the_upstream_s(peer: Peer, name: str) -> None:
    assert asked_name(peer, BIG, ROUTES[BIG]) == name


def test_our_own_configuration_has_the_failing_provider_first(tmp_path: Path) -> None:
    told = launch(OURSELVES, _site(tmp_path)).files["providers.json"]
    msgspec.json.decode(told, type=Settings, dec_hook=lambda kind, value: kind(value))
    first, second = json.loads(told)["providers"]
    assert (first["base_url"], first["models"], first["priority"]) == (
        "http://127.0.0.1:1/v1",
        {"big": ["burst-100"]},
        1,
    )
    assert (second["base_url"], second["priority"]) == (UPSTREAM, 2)
    assert set(second["models"]) == {"big", "middle", "small"}


def test_litellm_falls_back_from_the_failing_model_to_its_second(tmp_path: Path) -> None:
    config = json.loads(launch(PEERS["litellm"], _site(tmp_path)).files["config.yaml"])
    bases = {each["model_name"]: each["litellm_params"]["api_base"] for each in config["model_list"]}
    assert bases == {
        BIG: "http://127.0.0.1:1/v1",
        f"{BIG}-second": UPSTREAM,
        MIDDLE: UPSTREAM,
        SMALL: UPSTREAM,
    }
    assert config["router_settings"]["fallbacks"] == [{BIG: [f"{BIG}-second"]}]


WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [],
    "model": "any",
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 0},
}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": WHOLE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 0}},
    {"type": "message_stop"},
]


def _stream(events: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)


def test_an_answer_with_every_field_has_no_flaw() -> None:
    assert flaws_of_whole(msgspec.json.encode(WHOLE)) == []
    assert flaws_of_stream(b"event: ping\ndata: not JSON\n\n" + _stream(EVENTS)) == []


@pytest.mark.parametrize("field", WHOLE)
def test_a_field_that_a_whole_answer_lacks_is_named(field: str) -> None:
    less = {name: value for name, value in WHOLE.items() if name != field}
    assert flaws_of_whole(msgspec.json.encode(less)) == [f"the whole answer lacks {field}"]


@pytest.mark.parametrize("number", range(len(EVENTS)))
def test_an_event_that_a_stream_lacks_is_named(number: int) -> None:
    less = [event for event in EVENTS if event is not EVENTS[number]]
    assert flaws_of_stream(_stream(less)) == [f"there is no {EVENTS[number]['type']}"]


def test_fields_that_an_event_lacks_are_named() -> None:
    less = [{"type": "message_start", "message": {"role": "assistant", "content": []}}, *EVENTS[1:]]
    assert flaws_of_stream(_stream(less)) == [
        "message_start lacks message.id, message.type, message.model, message.usage"
    ]


# -- figures --------------------------------------------------------------------------------------------

LITELLM, OTHER, RELAY = PEERS["litellm"], PEERS["ccr"], PEERS["portkey"]


def _samples(measure: str, figures: Mapping[str, list[float]]) -> list[Sample]:
    return [
        Sample(program=program, measure=measure, round=number, figure=figure)
        for program, found in figures.items()
        for number, figure in enumerate(found)
    ]


def _report(samples: list[Sample], *gaps: Gap) -> Report:
    return report(samples, gaps, peers=[OURSELVES, LITELLM, OTHER, RELAY], facts={"rounds": "3"})


def test_what_the_upstream_alone_takes_is_taken_off_in_the_same_round() -> None:
    told = _report(_samples("added-p50", {ALONE: [1, 2, 3], OURS: [3, 5, 7], "litellm": [41, 32, 23]}))
    ours, litellm = told.row(OURS, "added-p50"), told.row("litellm", "added-p50")
    assert ours is not None
    assert litellm is not None
    assert (ours.samples, litellm.samples) == ((2, 3, 4), (40, 30, 20))
    assert (ours.figure.median, ours.figure.low, ours.figure.high) == (3, 2, 4)


def test_a_ratio_is_ours_by_theirs_round_by_round() -> None:
    told = _report(_samples("requests-a-second", {OURS: [300, 400, 500], "litellm": [10, 20, 20]}))
    litellm, ours = told.row("litellm", "requests-a-second"), told.row(OURS, "requests-a-second")
    assert litellm is not None
    assert litellm.ratio is not None
    assert ours is not None
    assert (litellm.ratio.low, litellm.ratio.median, litellm.ratio.high) == (20, 25, 30)
    assert ours.ratio is None


def test_a_failure_costs_what_the_same_program_does_not_take_without_it() -> None:
    healthy = _samples(HEALTHY, {OURS: [2.0], "litellm": [40.0]})
    told = _report(healthy + _samples("fallback-500", {OURS: [2.5], "litellm": [71.0]}))
    assert found(told)["fallback-500"] == Found(ours=0.5, best=31.0, best_name="litellm", litellm=31.0)
    assert told.row(OURS, HEALTHY) is None


def test_what_one_side_lacks_is_not_compared() -> None:
    told = _report(_samples("cpu-a-chunk", {"litellm": [1900.0]}))
    row = told.row("litellm", "cpu-a-chunk")
    assert row is not None
    assert row.ratio is None
    assert "cpu-a-chunk" not in found(told)


@pytest.mark.parametrize(
    ("measure", "theirs", "best"),
    [
        ("cpu-a-chunk", {"litellm": 1900.0, "ccr": 500.0, "portkey": 50.0}, ("ccr", 500.0)),
        ("bursts-a-second", {"litellm": 5.0, "ccr": 20.0, "portkey": 150.0}, ("ccr", 20.0)),
        ("cpu-a-chunk", {"portkey": 50.0}, ("", None)),
    ],
)
def test_the_best_peer_is_the_best_of_those_that_translate(
    measure: str, theirs: dict[str, float], best: tuple[str, float | None]
) -> None:
    figures = {name: [figure] for name, figure in theirs.items()}
    told = found(_report(_samples(measure, {OURS: [100.0], **figures})))[measure]
    assert (told.best_name, told.best) == best
    assert told.litellm == theirs.get("litellm")


def test_a_peer_whose_answers_lack_something_is_never_the_best() -> None:
    samples = _samples("cpu-a-chunk", {OURS: [100.0], "litellm": [1900.0], "ccr": [50.0]})
    told = report(
        samples, [], peers=[OURSELVES, LITELLM, OTHER], facts={}, flaws={"ccr": ("it lacks an id",)}
    )
    assert found(told)["cpu-a-chunk"].best_name == "litellm"
    assert "never the best of those that translate: it lacks an id" in " ".join(_drawn(told).split())


@pytest.mark.parametrize(
    ("measure", "ours", "litellm", "other", "is_met"),
    [
        ("added-p50", 2.0, 44.0, 12.0, True),
        ("added-p50", 4.1, 60.0, 12.0, False),  # more than a third of the best
        ("added-p50", 3.8, 44.0, 12.0, False),  # more than a twelfth of LiteLLM
        ("bursts-a-second", 160.0, 5.0, 19.0, True),
        ("bursts-a-second", 151.0, 5.0, 19.0, False),  # 8 times the best
        ("bursts-a-second", 149.0, 5.0, 10.0, False),  # 30 times LiteLLM
        ("fallback-500", 3.1, 31.0, 3.5, True),
        ("fallback-500", 3.2, 31.0, 3.5, False),
        ("start", 1.0, 9.0, 1.0, True),
        ("memory-idle", 60.1, 300.0, 150.0, False),
    ],
)
def test_a_goal_is_met_where_every_bound_holds(
    measure: str, ours: float, litellm: float, other: float, *, is_met: bool
) -> None:
    nothing: dict[str, list[float]] = {name: [0.0] for name in (ALONE, OURS, "litellm", "ccr")}
    figures = {OURS: [ours], "litellm": [litellm], "ccr": [other]}
    samples = _samples(HEALTHY, nothing) + _samples(measure, {ALONE: [0.0], **figures})
    (goal,) = [each for each in judged(_report(samples)) if each.goal.key == measure]
    assert goal.is_met is is_met


def test_a_program_that_fails_once_loses_what_it_had_of_that_load() -> None:
    notes, load = Notes(), LOADS[0]
    notes.add("litellm", 0, {"added-p50": 1.0, "cpu-a-chunk": 2.0})
    notes.lacks("litellm", "it answered wrongly", measures=load.measures)
    assert [sample.measure for sample in notes.samples] == ["cpu-a-chunk"]
    assert notes.has_failed("litellm", load)
    assert not notes.has_failed("ccr", load)
    assert not notes.lacks_all("litellm")


async def test_every_load_s_figures_have_a_line_in_the_tables() -> None:
    failing = Failing()
    async with failing.open():
        measures = {measure for load in (*LOADS, *failing.loads()) for measure in load.measures}
    assert measures - {HEALTHY} <= {measure.key for measure in MEASURES}


# -- tables ---------------------------------------------------------------------------------------------


def _drawn(told: Report) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        for table in tables(told):
            console.print(table)
    return captured.get()


def test_the_tables_fit_eighty_columns_and_hide_nothing() -> None:
    known = [OURSELVES, *PEERS.values(), given("fuergaosi233@gpt-=serve")]
    samples = [
        sample
        for measure in MEASURES
        for sample in _samples(
            measure.key, {peer.name: [1234.5, 1300.4] for peer in known} | {ALONE: [0.5, 0.4]}
        )
    ]
    told = report(samples, [Gap(program="ccr", why="a reason")], peers=known, facts={"rounds": "2"})
    *figures, _ = tables(told)  # the last one has sentences, which are broken
    assert all(Console(width=200).measure(table).maximum <= 80 for table in figures)
    drawn = _drawn(told)
    assert max(map(len, drawn.splitlines())) <= 80
    assert "…" not in drawn
    assert all(peer.name in drawn for peer in known)


def test_a_goal_that_speaks_of_peers_is_unknown_without_them() -> None:
    drawn = _drawn(
        _report(_samples("cpu-a-chunk", {OURS: [100.0], "ccr": [500.0]}) + _samples("start", {OURS: [2.0]}))
    )
    assert "CPU a paced chunk 100 µs 500 µs – unknown" in " ".join(drawn.split())
    assert "start to answer 2 s – – MISSED" in " ".join(drawn.split())


def test_what_a_program_says_is_not_taken_for_markup() -> None:
    told = _report([], Gap(program="ccr", why="it said [/red] and [bold]x"))
    assert "it said [/red] and [bold]x" in _drawn(told)


def test_a_gap_is_told_where_the_figure_would_be_and_explained_below() -> None:
    gap = Gap(program="ccr", measure="fallback-refused", why="not status 200")
    drawn = _drawn(_report(_samples("start", {OURS: [1.0], "ccr": [2.0]}), gap))
    assert "(see below)" in drawn
    assert "added by a refusal: not measured: not status 200" in " ".join(drawn.split())


# -- the whole command ----------------------------------------------------------------------------------


def _tiny(*options: str) -> str:
    return shlex.join([sys.executable, str(TINY), "--port", "{port}", *options])


def _command(*peers: str) -> list[str]:
    given_peers = [word for peer in peers for word in ("--peer", peer)]
    counts = ["--rounds", "1", "--seconds", "0.05"]
    return [sys.executable, "-m", "benchmarks", "compare", "--peers", "none", *counts, *given_peers]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a small comparison prints, and its JSON."""
    path = tmp_path_factory.mktemp("compare") / "figures.json"
    peers = (
        f"tiny={_tiny('--base-url', '{upstream}')}",
        f"liar={_tiny('--wrong')}",
        "absent=no-such-program {port}",
        f"ending={shlex.join([sys.executable, '-c', 'print(1); raise SystemExit(3)'])}",
    )
    command = [*_command(*peers), "--json", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout, json.loads(path.read_bytes())


Compared = tuple[str, dict[str, Any]]


@pytest.mark.process
def test_a_peer_given_as_a_command_is_measured_beside_us(compared: Compared) -> None:
    printed, told = compared
    measured = {(row["program"], row["measure"]): row for row in told["rows"]}
    shared = {measure.key for measure in MEASURES if not measure.key.startswith("fallback")}
    assert {measure for program, measure in measured if program == "tiny"} == shared
    assert {measure for program, measure in measured if program == OURS} == {each.key for each in MEASURES}
    assert all(measured["tiny", measure]["ratio"]["median"] > 0 for measure in ("start", "memory-idle"))
    assert {row["measure"] for row in told["alone"]} >= {"added-p50", "bursts-a-second"}
    (tiny,) = [program for program in told["programs"] if program["name"] == "tiny"]
    assert "there is no message_start" in tiny["flaws"]
    assert "tiny" in printed


@pytest.mark.process
def test_a_peer_that_answers_wrongly_has_no_figures_of_those_answers(compared: Compared) -> None:
    told = compared[1]
    missing = {gap["measure"]: gap["why"] for gap in told["gaps"] if gap["program"] == "liar"}
    assert set(missing) == {"added-p50", "requests-a-second"}
    assert "99 words where 100 should be" in missing["added-p50"]
    assert not [row for row in told["rows"] if row["program"] == "liar" and row["measure"] in missing]


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "why"), [("absent", "no-such-program: No such file"), ("ending", "it ended with status 3: 1")]
)
def test_a_peer_that_does_not_start_is_a_row_that_says_why(name: str, why: str, compared: Compared) -> None:
    printed, told = compared
    (gap,) = [gap for gap in told["gaps"] if gap["program"] == name]
    assert gap["measure"] is None
    assert why in gap["why"]
    assert f"not measured: {why}" in " ".join(printed.split())


def _heeding_interrupts() -> None:
    """A shell's background job ignores interrupts, and so would whatever it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_whatever_ends_the_command_leaves_no_process_of_a_peer(number: int, tmp_path: Path) -> None:
    born = tmp_path / "born"
    command = _command(f"tiny={_tiny('--base-url', '{upstream}', '--born', str(born))}")
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heeding_interrupts,  # noqa: PLW1509 - no threads run in this test
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("warming up"):
                break
        peer, child = map(int, born.read_text().split())
        assert _runs(peer)
        assert _runs(child)
        running.send_signal(number)
        assert running.wait(timeout=30) != 0
    assert not _ran_on(peer)
    assert not _ran_on(child)


def _ran_on(pid: int) -> bool:
    """Whether it is still there after a moment: what is killed goes when the kernel gets to it."""
    give_up_at = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    return _runs(pid)


def _runs(pid: int) -> bool:
    """Whether it is alive: a dead one whose parent has not looked yet is not."""
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
