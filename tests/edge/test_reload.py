"""A reload under requests: what is kept, what is closed and when, and what a broken configuration changes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from ccproxy_trio import reload
from ccproxy_trio.actors.provider import Refusal
from ccproxy_trio.health.breaker import State
from ccproxy_trio.health.verdict import Flag
from ccproxy_trio.house import NOT_ABOUT_CONNECTING
from ccproxy_trio.journal import ActorCrashed, Note
from ccproxy_trio.reload import Reloader, Reloading
from ccproxy_trio.settings.load import Loaded, load
from ccproxy_trio.settings.model import BreakerSettings, Secret, Settings
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import (
    Client,
    FakeAnswer,
    FakeUpstream,
    House,
    Script,
    hello,
    settings_for,
    virtual_house,
)

Clock = trio.testing.MockClock


def held(gate: trio.Event) -> Script:
    async def script(answer: FakeAnswer) -> None:
        await answer.text("before")
        await gate.wait()
        await answer.text("after")
        await answer.finish()

    return script


class Failing(FakeUpstream):
    """Refuses every request with this fault."""

    def __init__(self, fault: Callable[[], UpstreamFault]) -> None:
        super().__init__()
        self._fault = fault

    def open(self, *_: Any, **__: Any) -> Any:
        self.opened += 1
        raise self._fault()


def refused() -> UpstreamFault:
    return UpstreamFault(FaultKind.CONNECT, "refused")


def unauthorised() -> UpstreamFault:
    return UpstreamFault(FaultKind.AUTH, "no such key", status=401)


def changed(settings: Settings, name: str, **fields: Any) -> Settings:
    """The same with these fields of one provider."""
    return replace(
        settings,
        providers=tuple(
            replace(provider, **fields) if provider.name == name else provider
            for provider in settings.providers
        ),
    )


def without(settings: Settings, name: str) -> Settings:
    return replace(
        settings, providers=tuple(provider for provider in settings.providers if provider.name != name)
    )


async def ask(house: House) -> Client:
    client = Client(house.connect())
    await client.post({})
    await client.head()
    await client.body()
    return client


async def test_a_stream_goes_on_with_a_provider_that_a_reload_took_away(autojump_clock: Clock) -> None:
    gate, settings = trio.Event(), settings_for("a", "b")
    a, b = FakeUpstream(held(gate)), FakeUpstream(hello)
    async with virtual_house(settings, a=a, b=b) as house:
        streaming = Client(house.connect())
        await streaming.post({"stream": True})
        assert await streaming.head() == 200
        await house.running.reload(without(settings, "a"))
        assert (await ask(house)).status == 200
        await trio.testing.wait_all_tasks_blocked()
        assert (a.opened, b.opened, a.lines) == (1, 1, ["opened"])
        gate.set()
        assert b"after" in await streaming.body()
        assert streaming.kinds()[-1][1] == "message_stop"
        await trio.testing.wait_all_tasks_blocked()
        assert a.lines == ["opened", "closed"]
        assert list((await house.running.services.dispatcher.describe()).snapshots) == ["b"]
    assert b.lines == ["opened", "closed"]


async def test_an_unchanged_provider_keeps_breaker_and_connections(autojump_clock: Clock) -> None:
    settings = settings_for("a", "b", circuit_breaker=BreakerSettings(failure_threshold=1))
    a = Failing(refused)
    async with virtual_house(settings, a=a, b=FakeUpstream(hello)) as house:
        await ask(house)
        before = await house.snapshot("a")
        await house.running.reload(changed(replace(settings, max_attempts=3), "b", priority=7))
        after = await house.snapshot("a")
        assert (after.state, after.reopens_at) == (State.OPEN, before.reopens_at)
        assert house.running.services.routes.rules.priorities["b"] == 7
        assert (a.lines, a.opened) == (["opened"], 1)


async def test_a_new_key_is_tried_at_once_and_only_it_is_asked_with(autojump_clock: Clock) -> None:
    settings = settings_for("a", "b")
    a = Failing(unauthorised)
    async with virtual_house(settings, a=a, b=FakeUpstream(hello)) as house:
        await ask(house)
        assert (await house.snapshot("a")).flag is Flag.AUTH
        await ask(house)
        assert a.opened == 1
        await house.running.reload(changed(settings, "a", api_key=Secret("another-key")))
        await trio.testing.wait_all_tasks_blocked()
        assert a.lines == ["opened", "opened", "closed"]
        known = await house.snapshot("a")
        assert (known.state, known.flag) == (State.CLOSED, None)
        await ask(house)
        assert a.opened == 2


async def test_at_another_address_it_is_another_provider(autojump_clock: Clock) -> None:
    settings = settings_for("a", "b", circuit_breaker=BreakerSettings(failure_threshold=1))
    gate, a = trio.Event(), Failing(refused)
    async with virtual_house(settings, a=a, b=FakeUpstream(held(gate))) as house:
        streaming = Client(house.connect())  # fails over, and keeps the old generation alive
        await streaming.post({"stream": True})
        await streaming.head()
        old = house.running.services.units["a"].actor
        await house.running.reload(changed(settings, "a", base_url="https://new.example/v1"))
        view = house.running.services.dispatcher.view
        assert view["a"].state is State.CLOSED
        lease = await old.lease("m")  # it publishes after each of these
        assert isinstance(lease, Refusal)
        await old.settled()
        assert view["a"].state is State.CLOSED
        gate.set()
        await streaming.body()
        await trio.testing.wait_all_tasks_blocked()
        assert view["a"].state is State.CLOSED


async def test_what_a_retired_namesake_meets_later_is_not_told_of_the_new_one(autojump_clock: Clock) -> None:
    gate = trio.Event()

    async def fails_late(_: FakeAnswer) -> None:
        await gate.wait()

    settings = settings_for("a", "b", circuit_breaker=BreakerSettings(failure_threshold=1))
    async with virtual_house(settings, a=FakeUpstream(fails_late), b=FakeUpstream(hello)) as house:
        late = Client(house.connect())
        await late.post({})
        await trio.testing.wait_all_tasks_blocked()
        await house.running.reload(changed(settings, "a", base_url="https://new.example/v1"))
        gate.set()
        assert await late.head() == 200  # by b
        view = house.running.services.dispatcher.view
        assert (view["a"].state, view["a"].failure_count) == (State.CLOSED, 0)


async def test_what_cannot_be_brought_up_changes_nothing(autojump_clock: Clock) -> None:
    settings = settings_for("a")
    unreachable = FakeUpstream(hello)

    def refuse() -> Any:
        raise OSError(2, "No such file")

    unreachable.connected = refuse  # type: ignore[method-assign]
    a, b = FakeUpstream(hello), FakeUpstream(hello)
    async with virtual_house(settings, a=a, b=b, c=unreachable) as house:
        before = house.running.services
        with pytest.raises(OSError, match="No such file"):
            await house.running.reload(settings_for("a", "b", "c"))
        await trio.testing.wait_all_tasks_blocked()
        assert house.running.services is before
        assert (a.lines, b.lines) == (["opened"], ["opened", "closed"])
        assert (await ask(house)).status == 200
        assert list((await before.dispatcher.describe()).snapshots) == ["a"]


async def test_probes_begin_anew_and_end_with_their_provider(autojump_clock: Clock) -> None:
    settings = settings_for("a", "b", health_check_interval=60.0)
    gate = trio.Event()
    a, b = FakeUpstream(held(gate)), FakeUpstream(hello)
    async with virtual_house(settings, a=a, b=b) as house:
        await trio.sleep(1)
        assert len(a.probed_at) == 1  # the phase of these tests' world is 0
        streaming = Client(house.connect())
        await streaming.post({"stream": True})
        await streaming.head()
        await house.running.reload(replace(without(settings, "a"), health_check_interval=10.0))
        began, before = trio.current_time(), len(b.probed_at)
        await trio.sleep(35)
        assert len(a.probed_at) == 1
        assert b.probed_at[before] == began
        assert len(b.probed_at) - before == 4
        house.running.stop_probing()
        await trio.sleep(100)
        assert len(b.probed_at) - before == 4
        gate.set()


async def test_a_provider_that_comes_back_while_it_is_still_in_use_is_the_same_one(
    autojump_clock: Clock,
) -> None:
    settings = settings_for("a", "b")
    gate = trio.Event()
    a = FakeUpstream(held(gate))
    async with virtual_house(settings, a=a, b=FakeUpstream(hello)) as house:
        streaming = Client(house.connect())
        await streaming.post({"stream": True})
        await streaming.head()
        await house.running.reload(without(settings, "a"))
        await house.running.reload(settings)
        assert (await house.snapshot("a")).in_flight == 1
        gate.set()
        await streaming.body()
        await trio.testing.wait_all_tasks_blocked()
        assert a.lines == ["opened"]
        assert (await ask(house)).status == 200


async def test_a_crash_after_a_reload_does_not_bring_old_settings_back(autojump_clock: Clock) -> None:
    settings = settings_for("a", "b")
    async with virtual_house(settings, a=Failing(refused), b=FakeUpstream(hello)) as house:
        strict = BreakerSettings(failure_threshold=1)
        await house.running.reload(replace(settings, circuit_breaker=strict))
        house.crash("a")
        await trio.sleep(1)
        assert any(isinstance(entry, ActorCrashed) for entry in house.journal)
        await ask(house)
        assert (await house.snapshot("a")).state is State.OPEN


async def test_requests_without_end_and_reloads_without_end_leave_nothing_behind(
    autojump_clock: Clock,
) -> None:
    settings = settings_for("a", "b")
    async with virtual_house(settings, a=FakeUpstream(hello), b=FakeUpstream(hello)) as house:
        await ask(house)
        tasks = trio.lowlevel.current_statistics().tasks_living
        for number in range(20):
            await house.running.reload(changed(settings, "a", api_key=Secret(f"key-{number}")))
            assert (await ask(house)).status == 200
        await trio.testing.wait_all_tasks_blocked()
        # Each `ask` leaves its connection open: five tasks of Hypercorn's.
        assert len(house.running._builder.lines) == 2
        assert len(house.running._builder.posts) == 2
        assert trio.lowlevel.current_statistics().tasks_living - tasks <= 20 * 5


# -- where reloads come from ---------------------------------------------------------------------------


def entry(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "api_key": f"canary-key-of-{name}",
        "base_url": f"https://{name}.example/v1",
        "models": {"big": ["m"], "middle": ["m"], "small": ["m"]},
    } | fields


class File:
    """A configuration file under a house that was opened with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.learned: list[Settings] = []
        self.doors: list[str] = []

    def write(self, *entries: dict[str, Any], **settings: Any) -> None:
        self.path.write_text(json.dumps({"providers": list(entries), **settings}))
        self.path.chmod(0o600)

    def reloader(self, house: House, *, loaded: Loaded | None = None) -> Reloader:
        terms = Reloading(
            loaded=load(self.path, {}) if loaded is None else loaded,
            journal=house.journal.append,
            learn=self.learned.append,
            hang_up=lambda: None,
            doors=lambda: self.doors,
        )
        return Reloader(terms, house.app, house.running)


@pytest.fixture
def file(tmp_path: Path) -> File:
    file = File(tmp_path / "providers.json")
    file.write(entry("a"), entry("b"))
    return file


def told(house: House) -> list[tuple[str, str]]:
    return [(each.event, each.text) for each in house.journal if isinstance(each, Note)]


async def test_a_reload_says_what_changed_and_never_a_key(file: File) -> None:
    async with virtual_house(
        load(file.path, {}).settings, a=FakeUpstream(hello), b=FakeUpstream(hello), c=FakeUpstream(hello)
    ) as house:
        reloader = file.reloader(house)
        file.write(
            entry("b", api_key="canary-another-key", priority=3),
            entry("c", enabled=True),
            patience=3,
            stall_limit=90,
            client_api_keys=["canary-client-key"],
        )
        await reloader.asked()
        assert told(house) == [
            (
                "config.reloaded",
                "Configuration reloaded: added c; removed a; re-keyed b; changed b (priority); "
                "changed patience, stall_limit, client_api_keys.",
            ),
            (
                "config.fixed",
                "Not changed before the next start: stall_limit (the listening socket keeps the shorter one "
                "that it was opened with).",
            ),
        ]
        assert "canary" not in str(told(house))
        assert [len(settings.providers) for settings in file.learned] == [2]
        client = Client(house.connect())
        await client.post({})
        assert await client.head() == 401  # the guard knows the new client key


async def test_a_broken_file_is_told_with_all_its_faults_in_one_entry(
    file: File, autojump_clock: Clock
) -> None:
    async with virtual_house(
        load(file.path, {}).settings, a=FakeUpstream(hello), b=FakeUpstream(hello)
    ) as house:
        reloader, before = file.reloader(house), house.running.services
        file.write(entry("a", timeuot=3), entry("b"), patiense=1)
        await reloader.look(file.path)
        await reloader.look(file.path)  # told once
        [(event, text)] = told(house)
        assert event == "config.broken"
        assert "timeuot" in text
        assert "patiense" in text
        assert house.running.services is before
        await reloader.asked()  # but always to somebody who asks
        assert len(told(house)) == 2
        file.write(entry("a"))
        await reloader.look(file.path)
        assert told(house)[-1] == ("config.reloaded", "Configuration reloaded: removed b.")


async def test_who_undoes_a_mistake_is_told_so(file: File, autojump_clock: Clock) -> None:
    async with virtual_house(
        load(file.path, {}).settings, a=FakeUpstream(hello), b=FakeUpstream(hello)
    ) as house:
        reloader, right = file.reloader(house), file.path.read_text()
        file.write(entry("a", timeuot=3), entry("b"))
        await reloader.look(file.path)
        file.path.write_text(right)
        await reloader.look(file.path)
        assert [event for event, _ in told(house)] == ["config.broken", "config.reloaded"]
        file.path.write_text(right.replace("{", "{ ", 1))
        await reloader.look(file.path)
        assert len(told(house)) == 2  # once

        file.write(entry("a"))
        file.doors = ["0.0.0.0:8082"]
        await reloader.look(file.path)
        file.doors = []
        file.path.write_text(right)
        await reloader.look(file.path)
        assert [event for event, _ in told(house)[2:]] == ["config.refused", "config.reloaded"]


async def test_a_note_on_the_file_is_told_when_it_comes_up_and_not_at_each_reload(file: File) -> None:
    async with virtual_house(
        load(file.path, {}).settings, a=FakeUpstream(hello), b=FakeUpstream(hello)
    ) as house:
        reloader = file.reloader(house)
        for affinity, patience in ((True, 1), (True, 2), (False, 3), (True, 4)):
            file.write(entry("a"), entry("b"), session_affinity=affinity, patience=patience)
            await reloader.asked()
        notes = [text for event, text in told(house) if event == "config.note"]
        assert len(notes) == 2
        assert all("session_affinity" in note for note in notes)


async def test_a_file_that_is_still_being_written_is_no_broken_file(
    file: File, autojump_clock: Clock
) -> None:
    async with virtual_house(
        load(file.path, {}).settings, a=FakeUpstream(hello), b=FakeUpstream(hello)
    ) as house:
        reloader = file.reloader(house)
        file.path.write_text('{"providers": [')
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reloader.look, file.path)
            await trio.sleep(0.25)
            file.write(entry("a"))
        assert told(house) == [("config.reloaded", "Configuration reloaded: removed b.")]


async def test_a_file_that_was_only_touched_is_left_alone_unless_asked(file: File) -> None:
    async with virtual_house(
        load(file.path, {}).settings, a=FakeUpstream(hello), b=FakeUpstream(hello)
    ) as house:
        reloader, before = file.reloader(house), house.running.services
        file.path.write_text(file.path.read_text().replace("{", "{ ", 1))
        await reloader.look(file.path)
        assert told(house) == []
        assert house.running.services is before
        await reloader.asked()
        assert told(house) == [("config.reloaded", "Configuration reloaded: nothing in it has changed.")]


async def test_an_open_door_is_not_left_without_a_client_key(file: File) -> None:
    file.write(entry("a"), client_api_keys=["canary-client-key"])
    async with virtual_house(load(file.path, {}).settings, a=FakeUpstream(hello)) as house:
        file.doors = ["0.0.0.0:8082"]
        reloader, before = file.reloader(house), house.running.services
        file.write(entry("a"))
        await reloader.asked()
        [(event, text)] = told(house)
        assert event == "config.refused"
        assert "0.0.0.0:8082" in text
        assert house.running.services is before


async def test_a_configuration_from_variables_has_no_file_to_read_again(file: File) -> None:
    settings = load(file.path, {}).settings
    async with virtual_house(settings, a=FakeUpstream(hello), b=FakeUpstream(hello)) as house:
        variables = Loaded(settings=settings, source="environment variables (OPENAI_API_KEY)")
        await file.reloader(house, loaded=variables).asked()
        [(event, text)] = told(house)
        assert event == "config.unchanged"
        assert "environment variables (OPENAI_API_KEY)" in text


def test_what_keeps_connections_is_nothing_that_they_are_made_of() -> None:
    upstream = Path(__file__).parents[2] / "ccproxy_trio" / "upstream"
    text = "".join(path.read_text() for path in upstream.rglob("*.py"))
    assert [name for name in NOT_ABOUT_CONNECTING if f"provider.{name}" in text] == []


async def test_what_else_happens_in_its_folder_is_not_worth_a_reading(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0

    def counted(path: Path) -> Loaded:
        nonlocal readings
        readings += 1
        return load(path, {})

    async with virtual_house(
        load(file.path, {}).settings, a=FakeUpstream(hello), b=FakeUpstream(hello)
    ) as house:
        reloader = file.reloader(house)
        monkeypatch.setattr(reload, "load", counted)
        (file.path.parent / "proxy.log").write_text("a line")
        await reloader.look(file.path)
        assert readings == 0
        file.write(entry("a"))
        await reloader.look(file.path)
        await reloader.look(file.path)
        assert readings == 1
