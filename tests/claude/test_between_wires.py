"""One session of Claude Code's over three providers of three wires, each of which fails on the way."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.claude.conftest import Claude
from tests.claude.test_wires import refusals, thinking_blocks, thoughts_of
from tests.claude.test_work import bash
from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.agent import spoken, tool_results, turns_taken
from tests.support.chunks import Turn, calls, says
from tests.support.proxy import Form
from tests.support.scripted import Reply, Request, Script, ScriptedProvider
from tests.support.seals import signature
from tests.support.told import Wire, told

pytestmark = pytest.mark.claude
OPENROUTER = ("reasoning", "reasoning_details")


@pytest.fixture
def proxy_form() -> Form:
    """What differs here is who is asked, not how the proxy is started."""
    return "warm"


# Nobody is to be left out for how it failed before: who answers is the test's to say.
FORGIVING: dict[str, Any] = {
    "circuit_breaker": {"failure_threshold": 100, "minimum_requests": 0, "cooldown_default": 0.01},
    "retry_budget": {"min_per_s": 100},
}
Plan = dict[int, list[Reply]]  # of a turn, the answers one after the other


def part(plan: Plan) -> Script:
    """Give each turn its answers in order. What is asked beyond them is refused, and shows in the counts."""

    def answer(request: Request) -> Reply:
        if not request.tool_names:
            return says("aside")
        waiting = plan.get(turns_taken(request), [])
        return waiting.pop(0) if waiting else faults.status(500, "asked too often", wire=request.wire)

    return answer


def step(number: int, *also: str, **more: Any) -> Turn:
    """One call, or several at once, each with a line of its own in the log."""
    names = (f"step-{number}", *also)
    return calls(*[bash(f"echo {name} >> log.txt; echo heard-{name}") for name in names], **more)


def secret(text: str) -> dict[str, str]:
    """Encrypted reasoning as OpenRouter tells it."""
    return {"type": "reasoning.encrypted", "data": text}


def closed_call(number: int, wire: Wire) -> faults.Steps:
    """A stream that dies behind a finished call and before its own end: the call must not run from it."""
    stream = told(step(number), wire)
    ended = stream.finish[:1] if wire == "anthropic" else stream.finish
    return faults.dies([*stream.begun, *ended], "fin")


def refused(wire: Wire) -> dict[str, Callable[[], faults.Steps]]:
    """Refusals in this wire's envelope."""
    return {
        "500": lambda: faults.status(500, wire=wire),
        "429": lambda: faults.status(429, "slow down", kind="rate_limit_error", wire=wire),
        "529": lambda: faults.status(529, "Overloaded", kind="overloaded_error", wire=wire),
    }


NATIVE, MODERN = refused("anthropic"), refused("responses")


def plans() -> Mapping[str, Plan]:
    """Who answers what. The providers are asked in this order; 3, 5 and 6 go back to the first.

    Turns 2, 4 and 5 die in the hands of one after its first words; Claude Code asks again, without stream,
    and who broke off is left out of that.
    """
    native: Plan = {
        0: [step(0, "step-0b", reasoning=["native thinks 0"])],
        1: [NATIVE["529"]()],
        2: [faults.dies_before_content(wire="anthropic"), NATIVE["500"]()],
        3: [step(3)],
        4: [closed_call(4, "anthropic")],
        5: [NATIVE["500"](), step(5)],
        6: [says("First part done.")],
        7: [step(7, reasoning=["native thinks 7"])],
        8: [NATIVE["429"]()],
        9: [says("All done.")],
    }
    modern: Plan = {
        1: [step(1, reasoning=["modern thinks 1"])],
        2: [closed_call(2, "responses")],
        4: [step(4, "step-4b", reasoning=["modern thinks 4"])],
        5: [faults.dies_before_content("rst", wire="responses")],
        8: [MODERN["429"]()],
    }
    plain: Plan = {
        2: [step(2, "step-2b", details=[secret("plain-sealed-2")])],
        5: [faults.dies_after_text("I was about")],
        8: [step(8, details=[secret("plain-sealed-8")])],
    }
    return {"native": native, "modern": modern, "plain": plain}


async def test_a_session_falls_over_between_three_wires_and_back_and_every_tool_runs_once(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    native = providers.start("native", wire="anthropic", strictness="turns")
    modern = providers.start("modern", wire="responses")
    plain = providers.start("plain", also_allowed=OPENROUTER)
    planned = plans()
    asked = {name: {turn: len(replies) for turn, replies in plan.items()} for name, plan in planned.items()}
    for provider in (native, modern, plain):
        provider.behaves(part(planned[provider.name]))
    entries = [
        native.entry(max_retries=0),
        modern.entry(max_retries=0),
        plain.entry(max_retries=0, profile="openrouter"),
    ]
    code = claude(await start_proxy(*entries, **FORGIVING))
    first = await code.ask("Work.")
    second = await code.ask("Go on.", "--continue")
    assert (first.failed, first.text) == (False, "First part done.")
    assert (second.failed, second.text) == (False, "All done.")

    ran = ["step-0", "step-0b", "step-1", "step-2", "step-2b", "step-3", "step-4", "step-4b", "step-5"]
    ran += ["step-7", "step-8"]
    assert sorted((code.workplace / "log.txt").read_text().split()) == ran
    last = native.requests[-1]
    heard = re.findall(r"heard-(step-\d+b?)", "\n".join(tool_results(last)))
    assert sorted(heard) == ran
    assert [len(message.get("tool_calls", ())) for message in spoken(last)] == [2, 1, 2, 1, 2, 1, 0, 1, 1]
    for provider in (native, modern, plain):
        assert _turns(provider) == asked[provider.name], provider.name

    _native_got_its_own_thinking_and_no_other(native)
    _each_got_its_own_sealed_reasoning(modern, plain)
    _nobody_read_what_another_thought(native, modern, plain)


def _turns(provider: ScriptedProvider) -> dict[int, int]:
    """How often it was asked at each turn."""
    at = [turns_taken(request) for request in provider.requests]
    return {turn: at.count(turn) for turn in sorted(set(at))}


def _native_got_its_own_thinking_and_no_other(native: ScriptedProvider) -> None:
    """A tool loop in which others have answered goes on without thinking; the next one has it again."""
    assert refusals(native) == []
    texts = ["native thinks 0", "native thinks 7"]
    own = [{"type": "thinking", "thinking": text, "signature": signature("native", text)} for text in texts]
    by_turn = {turns_taken(request): request for request in native.requests}
    assert [thinking_blocks(by_turn[turn]) for turn in range(10)] == [[], *[own[:1]] * 7, *[own] * 2]
    modes = [by_turn[turn].body["thinking"]["type"] for turn in range(10)]
    assert modes == ["adaptive"] * 2 + ["disabled"] * 5 + ["adaptive"] * 2 + ["disabled"]


def _each_got_its_own_sealed_reasoning(modern: ScriptedProvider, plain: ScriptedProvider) -> None:
    items = [item for item in modern.requests[-1].body["input"] if item.get("type") == "reasoning"]
    assert [item["summary"][0]["text"] for item in items] == ["modern thinks 1", "modern thinks 4"]
    details = [message.get("reasoning_details") for message in spoken(plain.requests[-1])]
    assert details == [None, None, [secret("plain-sealed-2")], *[None] * 5]


def _nobody_read_what_another_thought(*providers: ScriptedProvider) -> None:
    """Neither the words nor what vouches for them, nor what the proxy wrote beside them."""
    for provider in providers:
        sent = b"\n".join(request.content for request in provider.requests)
        for other in providers:
            if other is not provider:
                assert f"{other.name} thinks".encode() not in sent
                assert f"{other.name}-sealed".encode() not in sent
                assert _beginning("sig", other.name) not in sent
                assert _beginning("enc", other.name) not in sent
        assert b"ccpx1" not in sent


def _beginning(kind: str, name: str) -> bytes:
    """What all proofs of this kind that `name` gave begin with."""
    text = json.dumps([kind, [name]]).encode().removesuffix(b"]]")
    return base64.b64encode(text[: len(text) // 3 * 3])


def deaths(wire: Wire) -> list[faults.Steps]:
    """Ways to die on this wire, one a turn: before any content, and in or behind each kind of it."""
    thinking = told(Turn(reasoning=("I wonder", " whether")), wire)
    words, call = told(says("I was about", " to"), wire), told(step(99), wire)
    closed = words.finish[:1] if wire == "anthropic" else words.finish
    return [
        faults.dies_before_content(wire=wire),
        faults.dies(thinking.begun[:-1], "rst"),
        faults.dies(thinking.begun, "fin"),
        faults.dies(words.begun, "clean"),
        faults.dies([*words.begun, *closed], "fin"),
        faults.dies(call.begun[:-1], "rst"),
        faults.dies(call.begun, "fin"),
        closed_call(99, wire),
        faults.error_in_stream("I was about", kind="api_error", wire=wire),
        faults.no_json("I was about", wire=wire),
    ]


@pytest.mark.parametrize(("from_wire", "to_wire"), [("anthropic", "responses"), ("responses", "anthropic")])
async def test_whoever_dies_at_whatever_point_another_wire_goes_on_from_there(
    from_wire: Wire, to_wire: Wire, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    first = providers.start("first", wire=from_wire)
    second = providers.start("second", wire=to_wire, strictness="turns")
    dying = deaths(from_wire)
    thoughts = [f"second thinks {number}" for number in range(len(dying))]
    first.behaves(part({turn: [death] for turn, death in enumerate(dying)} | {len(dying): [says("Done.")]}))
    second.behaves(part({turn: [step(turn, reasoning=[text])] for turn, text in enumerate(thoughts)}))
    code = claude(await start_proxy(first.entry(max_retries=0), second.entry(max_retries=0), **FORGIVING))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done.")
    ran = (code.workplace / "log.txt").read_text().split()
    assert ran == [f"step-{number}" for number in range(len(dying))]
    once = dict.fromkeys(range(len(dying)), 1)
    assert _turns(first) == once | {len(dying): 1}
    assert _turns(second) == once
    assert thoughts_of(second.requests[-1]) == thoughts[:-1]
    assert refusals(second) == []
