"""What is of Anthropic's wire alone, under Claude Code: its user's own login, web searches, look-alikes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.claude.conftest import Claude
from tests.claude.test_wires import refusals, thinking_blocks
from tests.claude.test_work import bash
from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.agent import agent, spoken, tool_results, turns_taken
from tests.support.chunks import Call, calls, says
from tests.support.proxy import Form
from tests.support.scripted import (
    BODY_END,
    Reply,
    Request,
    Script,
    ScriptedProvider,
    head,
    rendered,
    stream_frames,
)
from tests.support.seals import Teller, signature
from tests.support.told_anthropic import event

pytestmark = pytest.mark.claude


@pytest.fixture
def proxy_form() -> Form:
    """What differs here is what is sent, not how the proxy is started."""
    return "warm"


# -- the user's own login ------------------------------------------------------------------------------

API_KEY = "canary-client-key"
TOKEN = "canary-client-token-0123456789"
PROXYS = "canary-key-of-the-proxy-0123456789"  # sent beside the subscription's login
LOGINS: dict[str, tuple[tuple[str, str], dict[str, str]]] = {
    "an API key": (("x-api-key", API_KEY), {}),
    "a subscription": (
        ("authorization", f"Bearer {TOKEN}"),
        {
            "ANTHROPIC_API_KEY": "",
            "CLAUDE_CODE_OAUTH_TOKEN": TOKEN,
            "ANTHROPIC_CUSTOM_HEADERS": f"x-api-key: {PROXYS}",
        },
    ),
}


def step(number: int, **more: Any) -> Reply:
    """One call that leaves a line of its own."""
    return calls(bash(f"echo step-{number} >> log.txt"), **more)


@pytest.mark.parametrize("login", LOGINS)
async def test_ones_own_login_is_used_until_it_is_limited_and_nobody_else_sees_it(
    login: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """The first provider judges that it got this credential and no other, the second that it got its own.

    The second is Anthropic too, and knows nothing of what the first has signed.
    """
    credential, env = LOGINS[login]
    own = providers.start("own", wire="anthropic", strictness="turns", credential=credential)
    other = providers.start("other", wire="anthropic", strictness="turns")
    script = agent(step(0, reasoning=["I think."]), step(1), says("unused"))
    limited = faults.status(429, "slow down", kind="rate_limit_error", wire="anthropic", retry_after="30")
    own.behaves(lambda request: limited if turns_taken(request) > 1 else with_id(script(request), request))
    other.behaves(agent(says("unused"), says("unused"), step(2), says("Done by the other.")))
    keys = [PROXYS] if "ANTHROPIC_CUSTOM_HEADERS" in env else []
    proxy = await start_proxy(own, other, client_api_keys=keys)
    code = claude(proxy)
    done = await code.ask("Work.", env=env)
    assert (done.failed, done.text) == (False, "Done by the other.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0", "step-1", "step-2"]
    assert [turns_taken(request) for request in own.requests] == [0, 1, 2]
    assert [turns_taken(request) for request in other.requests] == [2, 2, 3, 3]
    assert [bool(thinking_blocks(request)) for request in other.requests] == [True, False] * 2
    secret = credential[1].removeprefix("Bearer ")
    for request in other.requests:
        assert secret not in json.dumps(dict(request.headers)) + request.content.decode()
    assert secret not in proxy.output
    assert all(PROXYS not in json.dumps(dict(request.headers)) for request in own.requests + other.requests)
    _it_was_asked_as_by_the_client_itself(own, done.session)
    assert ("oauth-2025-04-20" in own.requests[0].betas) is (login == "a subscription")
    assert {f"req_canary_{turn}" for turn in (0, 1)} <= _ids_seen(code.home)


def with_id(reply: Reply, request: Request) -> Reply:
    """The same with the header by which Anthropic finds a request again."""
    assert not isinstance(reply, tuple)
    fields = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    turn = turns_taken(request)
    named = head(headers=fields | {"request-id": f"req_canary_{turn}"})
    return (named, *rendered(reply, request, by=Teller(name="own", number=turn))[1:])


def _it_was_asked_as_by_the_client_itself(own: ScriptedProvider, session: str) -> None:
    for request in own.requests:
        assert request.query == {"beta": "true"}
        assert request.headers["anthropic-version"] == "2023-06-01"
        assert {"claude-code-20250219", "context-management-2025-06-27"} <= set(request.betas)
        assert request.headers["x-claude-code-session-id"] == session
        assert request.headers["user-agent"].startswith("claude-cli/")
        assert request.headers["x-app"] == "cli"


def _ids_seen(home: Path) -> set[str]:
    """The requests' ids in what Claude Code has written down of its sessions."""
    told = "\n".join(path.read_text() for path in (home / ".claude" / "projects").rglob("*.jsonl"))
    return set(re.findall(r"req_canary_\d", told))


async def test_a_login_that_is_refused_is_told_as_the_users_own_at_once(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    own = providers.start("own", wire="anthropic", credential=("x-api-key", API_KEY))
    own.plays(faults.status(401, "invalid x-api-key", kind="authentication_error", wire="anthropic"))
    done = await claude(await start_proxy(own)).ask("Work.")
    assert (done.exit_code, done.failed) == (1, True)
    assert "Invalid API key" in done.text
    assert done.seconds < 20


# -- web searches --------------------------------------------------------------------------------------


def searched(query: str) -> Reply:
    """A search that Anthropic ran itself, and what its model says of it."""
    found = {
        "type": "web_search_result",
        "title": "Notes on nurseries",
        "url": "https://trio.example/nurseries",
        "encrypted_content": "c2VhbGVk" * 40,
        "page_age": "May 4, 2026",
    }
    server = {"type": "server_tool_use", "id": "srvtoolu_canary", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_canary", "content": [found]}
    usage = {"input_tokens": 9, "output_tokens": 5, "server_tool_use": {"web_search_requests": 1}}
    message = {"id": "msg_search", "type": "message", "role": "assistant", "model": "up", "content": []}
    ends = {"stop_reason": None, "stop_sequence": None, "usage": usage}
    asked = {"type": "input_json_delta", "partial_json": json.dumps({"query": query})}
    words = {"type": "text_delta", "text": "Tasks end where they began."}
    frames = [
        event("message_start", message=message | ends),
        event("content_block_start", index=0, content_block=server),
        event("content_block_delta", index=0, delta=asked),
        event("content_block_stop", index=0),
        event("content_block_start", index=1, content_block=result),
        event("content_block_stop", index=1),
        event("content_block_start", index=2, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=2, delta=words),
        event("content_block_stop", index=2),
        event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=usage),
        event("message_stop"),
    ]
    return (head(), *stream_frames(frames), BODY_END)


async def test_a_web_search_is_run_by_whom_can_though_another_answers_everything_else(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """The blocks of the search reach Claude Code as they are: it finds title and address in them."""
    first, native = providers.start("first"), providers.start("native", wire="anthropic")
    query = "structured concurrency"
    first.behaves(agent(calls(Call("WebSearch", {"query": query})), says("Found it.")))
    native.plays(searched(query))
    done = await claude(await start_proxy(first, native)).ask("Search.")
    assert (done.failed, done.text) == (False, "Found it.")
    (asked,) = native.requests
    assert [(tool["type"], tool["name"]) for tool in asked.body["tools"]] == [
        ("web_search_20250305", "web_search")
    ]
    assert asked.body["tool_choice"] == {"type": "tool", "name": "web_search"}
    assert query in asked.text_of("user")
    (result,) = tool_results(first.requests[-1])
    for fact in ("Notes on nurseries", "https://trio.example/nurseries", "Tasks end where they began."):
        assert fact in result


# -- look-alikes ---------------------------------------------------------------------------------------

UNKNOWN_BETAS = ("thinking-token-count-2026-05-13", "effort-2025-11-24")


def complaints(request: Request) -> list[str]:
    """All that it has against a request, in the order in which it would say it."""
    body = request.body
    betas = [beta for beta in UNKNOWN_BETAS if beta in request.betas]
    unknown = ", ".join(f"`{beta}`" for beta in betas)
    roles = [message["role"] for message in body["messages"]]
    found = {
        f"Unexpected value(s) {unknown} for the `anthropic-beta` header. Please consult our documentation "
        "at docs.anthropic.com or try again without the header.": bool(betas),
        "context_management: Extra inputs are not permitted": "context_management" in body,
        "output_config: Extra inputs are not permitted": "output_config" in body,
        "thinking: Input tag 'adaptive' found using 'type' does not match any of the expected tags: "
        "'disabled', 'enabled'": body.get("thinking", {}).get("type") == "adaptive",
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
        '"system" as an input message role.': "system" in roles,
        "metadata.user_id: Extra inputs are not permitted": "user_id" in body.get("metadata", {}),
    }
    return [words for words, offends in found.items() if offends]


def refusing(script: Script, told: list[str]) -> Script:
    """Answer only what there is nothing to complain of; `told` gets each complaint."""

    def answer(request: Request) -> Reply:
        against = complaints(request)
        if not against:
            return script(request)
        told.append(against[0])
        return faults.bad_request(against[0], wire="anthropic")

    return answer


async def test_what_a_look_alike_refuses_is_learned_at_the_cost_of_one_request_each(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alike", wire="anthropic", strictness="turns")
    told: list[str] = []
    script = agent(step(0, reasoning=["I think."]), step(1, reasoning=["And again."]), says("Done."))
    provider.behaves(refusing(script, told))
    proxy = await start_proxy(provider)
    code = claude(proxy)
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0", "step-1"]
    assert len(told) == len(set(told)) == len(complaints(provider.requests[0]))
    asked = [turns_taken(request) for request in provider.requests]
    assert asked == [0] * (len(told) + 1) + [1, 2]
    last = provider.requests[-1]
    assert "claude-code-20250219" in last.betas
    assert _shown(last) == [("I think.", "alike"), ("And again.", "alike")]


def _shown(request: Request) -> list[tuple[str, str]]:
    """The thinking that came back, and who signed it."""
    blocks = thinking_blocks(request)
    return [
        (block["thinking"], name)
        for block in blocks
        for name in ("alike",)
        if block["signature"] == signature(name, block["thinking"])
    ]


@pytest.mark.parametrize("profile", ["deepseek", "moonshot"])
async def test_a_look_alike_that_is_known_is_asked_right_at_once(
    profile: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alike", wire="anthropic", strictness="turns")
    told: list[str] = []
    script = agent(step(0, reasoning=["I think."]), says("Done."))
    provider.behaves(refusing(script, told))
    code = claude(await start_proxy(provider.entry(profile=profile)))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0"]
    assert told == []
    assert [turns_taken(request) for request in provider.requests] == [0, 1]
    assert _shown(provider.requests[-1]) == [("I think.", "alike")]
    assert len(spoken(provider.requests[-1])) == 1
    assert refusals(provider) == []
