"""The oracles see what they are for: each is shown what it must not pass."""

import socket
from collections import Counter

import pytest
import trio

from tests.conftest import Providers, StartProxy
from tests.faults.watching import until
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import MODEL, asks, post
from tests.support.inside import Inside, descriptors, threads
from tests.support.oracles import Control, Holdings, Watch, growth, holdings_of, misshapen
from tests.support.proxy import Heard, Proxy, ProxyError
from tests.support.scripted import ScriptedProvider, Send
from tests.support.told import told, with_usage
from tests.support.warm import Forked

pytestmark = pytest.mark.process
CONTROL = Control(model=MODEL)
JSON = [(b"content-type", b"application/json")]
STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]


class Scene:
    """A watched proxy over one provider."""

    def __init__(self, proxy: Proxy, provider: ScriptedProvider, watch: Watch) -> None:
        self.proxy = proxy
        self.provider = provider
        self.watch = watch

    async def sees(self, *words: str) -> None:
        """The judge objects, with all of these words."""
        with pytest.raises(ProxyError) as objection:
            await self.watch.judge(CONTROL)
        assert [word for word in words if word not in str(objection.value)] == [], str(objection.value)


@pytest.fixture
async def scene(providers: Providers, start_proxy: StartProxy) -> Scene:
    provider = providers.start("alpha")
    proxy = await start_proxy(provider)
    return Scene(proxy, provider, await Watch.over(proxy, [provider]))


async def test_nothing_is_wrong_with_what_is_well(scene: Scene) -> None:
    await post(scene.proxy, asks())
    await post(scene.proxy, asks(stream=True))
    await scene.watch.judge(CONTROL)


async def test_a_connection_that_stays_is_seen_as_descriptor_and_task(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.oracles.CLEAN_WITHIN", 0.1)
    port = int(scene.proxy.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        await post(scene.proxy, asks())  # once it is answered, whoever came before is known
        await scene.sees("1 file descriptor(s) too many: socket", "1 task(s) too many: trio._highlevel")
    await scene.watch.judge(CONTROL)


async def test_a_request_that_goes_on_at_the_provider_is_seen(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    monkeypatch.setattr("tests.support.oracles.CLEAN_WITHIN", 0.1)
    monkeypatch.setattr("tests.support.oracles.WORKS_WITHIN", 0.1)
    scene.provider.plays(faults.silent())
    nursery.start_soon(post, scene.proxy, asks())
    await scene.provider.arrived()
    await scene.sees("alpha is still answering 1", "1 connection(s) are still held", "longer than")
    nursery.cancel_scope.cancel()


async def test_a_secret_in_an_answer_is_seen(scene: Scene) -> None:
    scene.provider.plays(says(f"my key is {scene.provider.key}"))
    await post(scene.proxy, asks(stream=True))
    await scene.sees("the body of answer 0")


async def test_a_secret_in_a_header_or_in_the_log_is_seen(scene: Scene) -> None:
    scene.proxy.heard.append(Heard("/", 200, [(b"x-key", scene.provider.key.encode())]))
    await scene.sees("the headers of answer 0")
    scene.proxy.heard.clear()
    output = Proxy.output
    try:
        Proxy.output = property(lambda _: f"Bearer {scene.provider.key}")  # type: ignore[assignment,method-assign]
        await scene.sees("the log")
    finally:
        Proxy.output = output  # type: ignore[method-assign]


async def test_a_request_that_fails_is_seen(scene: Scene) -> None:
    scene.provider.plays(faults.bad_request("no"))
    await scene.sees("a request without any fault: ")


async def test_a_proxy_that_has_ended_is_seen(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(scene.proxy.process, "poll", lambda: -9)
        await scene.sees("has ended")


async def test_what_a_process_holds_can_be_asked_for(scene: Scene) -> None:
    await post(scene.proxy, asks())
    holdings = holdings_of(scene.proxy)
    assert holdings.inside is not None
    assert (holdings.inside.lent, holdings.inside.kept) == (0, 1)
    kept_up = holdings.inside.tasks["ccproxy_trio.fleet.keep_up"]
    assert kept_up == len(["the provider", "the dispatcher"]), sorted(holdings.inside.tasks)
    assert descriptors(scene.proxy.process.pid)["anon_inode"] >= 1  # what it waits on
    assert threads(scene.proxy.process.pid) >= 1
    assert isinstance(scene.proxy.process, Forked)


async def test_a_client_that_leaves_has_heard_what_it_read(scene: Scene) -> None:
    scene.provider.plays(faults.stops_talking("hel", "lo"))
    async with trio.open_nursery() as reading:
        reading.start_soon(post, scene.proxy, asks(stream=True))
        await until(lambda: any(b'"lo"' in heard.body for heard in scene.proxy.heard))
        reading.cancel_scope.cancel()
    assert scene.proxy.heard[0].ending == "left"
    scene.provider.plays(says("ok"))
    await scene.watch.judge(CONTROL)


def _holdings(*, sockets: int = 0, files: int = 0, lent: int = 0, **tasks: int) -> Holdings:
    counted = Counter({"socket": sockets, "/dev/null": files})
    return Holdings(descriptors=counted, inside=Inside(tasks=tasks, lent=lent, kept=0))


def test_growth_is_what_there_is_more_of() -> None:
    before = _holdings(sockets=3, files=1, serve=2)
    assert list(growth(before, before, kept=0)) == []
    assert list(growth(before, _holdings(sockets=5, files=1, serve=1), kept=2)) == []
    assert list(growth(before, _holdings(sockets=5), kept=1)) == ["1 file descriptor(s) too many: socket"]
    assert list(growth(before, _holdings(files=2), kept=5)) == ["1 file descriptor(s) too many: /dev/null"]
    assert list(growth(before, _holdings(serve=3), kept=0)) == ["1 task(s) too many: serve"]
    assert list(growth(before, _holdings(lent=1), kept=0)) == ["1 connection(s) are still held by requests"]


@pytest.mark.parametrize(
    "heard",
    [
        Heard("/v1/messages", 200, JSON, bytearray(b'{"type":"message"}'), "whole"),
        Heard("/v1/messages", 500, JSON, bytearray(b'{"error":"oops"}'), "whole"),
        Heard("/v1/messages", 502, [(b"content-type", b"text/html")], bytearray(b"<html>"), "whole"),
        Heard("/v1/messages", 200, STREAM, bytearray(b""), "broken"),
        Heard("/v1/messages", 200, STREAM, bytearray(b"event: ping\n"), "whole"),
        Heard("/v1/messages", 200, STREAM, bytearray(b'event: x\ndata: {"type":"x"}\n\nda'), "left"),
    ],
    ids=["message", "error", "page", "broken", "half a frame", "unknown event"],
)
def test_what_anthropics_api_could_not_have_said_is_seen(heard: Heard) -> None:
    assert list(misshapen(heard)) != []


def test_a_client_that_left_is_owed_no_end() -> None:
    left = Heard("/v1/messages", 200, STREAM, bytearray(b"event: mess"), "left")
    assert list(misshapen(left)) == []


def _native(harm: str) -> Heard:
    """A good answer of a provider's own but for this."""
    harmed = faults.bad_text(b"\\ud800", wire="anthropic") if harm == "half a character" else ()
    frames = [step.data.split(b"\r\n", 1)[1][:-2] for step in harmed[1:-1] if isinstance(step, Send)]
    whole = frames or list(told(says("ok"), "anthropic").frames)
    match harm:
        case "a comment":
            whole.insert(1, b": still here\n\n")
        case "odd counts":
            whole = [with_usage(frame, {"input_tokens": -5}) for frame in whole]
        case "no end":
            whole.pop()
        case "closed twice":
            whole.insert(-1, whole[-3])
    return Heard("/v1/messages", 200, STREAM, bytearray(b"".join(whole)), "whole")


@pytest.mark.parametrize("harm", ["a comment", "odd counts", "half a character"])
def test_what_a_provider_says_is_its_own_affair_and_the_proxy_may_not_say_it(harm: str) -> None:
    assert list(misshapen(_native(harm), by="anybody")) == []
    assert list(misshapen(_native(harm))) != []


@pytest.mark.parametrize("harm", ["no end", "closed twice"])
def test_an_answer_that_breaks_the_grammar_is_misshapen_whoever_wrote_it(harm: str) -> None:
    assert list(misshapen(_native(harm), by="anybody")) != []
