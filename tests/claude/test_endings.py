"""Answers that end otherwise than with a plain word: each means to Claude Code what the provider meant."""

import json

import pytest

from tests.claude.conftest import Claude
from tests.conftest import Providers, StartProxy
from tests.support.agent import agent, spoken, tool_results
from tests.support.chunks import (
    Call,
    Turn,
    Usage,
    calls,
    chunk,
    finish_chunk,
    role_chunk,
    says,
    text_chunks,
    usage_chunk,
)
from tests.support.scripted import Reply, Request, stream_reply

pytestmark = pytest.mark.claude


REFUSALS = {
    "Not this canary.": [chunk({"refusal": "Not this canary."}), finish_chunk("stop")],
    "content filter": [*text_chunks("I am going"), finish_chunk("content_filter")],
}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_a_refusal_ends_the_session_with_its_reason(
    reason: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    provider.plays(stream_reply([role_chunk(), *REFUSALS[reason], usage_chunk(Usage())]))
    done = await claude(await start_proxy(provider)).ask("Do it.")
    assert (done.exit_code, done.failed) == (1, True)
    assert reason in done.text
    assert len(provider.requests) == 1


async def test_a_cut_answer_is_gone_on_with(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    provider.behaves(agent(Turn(text=("First half",), finish="length"), says("second half.")))
    done = await claude(await start_proxy(provider)).ask("Talk.")
    assert (done.failed, done.text) == (False, "second half.")
    last = provider.requests[-1]
    assert [message["content"] for message in spoken(last)] == ["First half"]
    assert "Output token limit hit" in last.text_of("user")


async def test_a_call_whose_arguments_are_no_text_runs(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    arguments = {"command": "echo from-an-object > made.txt", "description": "a step"}
    item = {"index": 0, "type": "function", "function": {"name": "Bash", "arguments": arguments}}
    made = stream_reply([role_chunk(), chunk({"tool_calls": [item]}), finish_chunk("stop")])
    provider.behaves(agent(made, says("Done.")))
    code = claude(await start_proxy(provider))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done.")
    assert (code.workplace / "made.txt").read_text() == "from-an-object\n"
    (message,) = spoken(provider.requests[-1])
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == arguments


async def test_reasoning_in_tags_is_told_from_the_answer(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha", also_allowed=("reasoning_content",))
    tagged = text_chunks("<th", "ink>I wonder", ", and then I know.</thi", "nk>\n\nI will ", "look.")
    step = calls(Call("Bash", {"command": "echo looked", "description": "a step"}))
    provider.behaves(
        agent(
            stream_reply([role_chunk(), *tagged, *step.chunks()]), says("<think>Well.</think>", "I <looked>.")
        )
    )
    options = {"think_tags": True, "replay": "reasoning_content"}
    done = await claude(await start_proxy(provider.entry(options=options))).ask("Work.")
    assert (done.failed, done.text) == (False, "I <looked>.")
    (message,) = spoken(provider.requests[-1])
    assert message["content"].strip() == "I will look."
    assert message["reasoning_content"].strip() == "I wonder, and then I know."
    assert "looked" in tool_results(provider.requests[-1])[0]


SCHEMA = {
    "type": "object",
    "properties": {"count": {"type": "integer"}, "word": {"type": "string"}},
    "required": ["count"],
}


async def test_an_answer_of_a_given_shape_is_delivered(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """The first try does not fit, which the client finds; the second does."""
    provider = providers.start("alpha")
    wrong, right = {"count": "many"}, {"count": 3, "word": "três"}
    provider.behaves(agent(*[calls(Call("StructuredOutput", value)) for value in (wrong, right)]))
    done = await claude(await start_proxy(provider)).ask("Count.", "--json-schema", json.dumps(SCHEMA))
    assert done.result["structured_output"] == right
    tools = [tool["function"] for tool in provider.requests[0].body["tools"]]
    (offered,) = [tool for tool in tools if tool["name"] == "StructuredOutput"]
    assert offered["parameters"] == SCHEMA
    assert "count" in tool_results(provider.requests[-1])[0]


@pytest.mark.parametrize("profile", ["openai", "deepseek"])
async def test_a_hook_that_asks_the_model_gets_json(
    profile: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """Claude Code asks for a schema; a provider without schemas is told it in words."""
    provider = providers.start("alpha", also_allowed=("thinking", "reasoning_content"))

    def script(request: Request) -> Reply:
        if request.tool_names:
            return says("Goodbye.")
        return says(json.dumps({"ok": True, "reason": "The canary is well."}))

    provider.behaves(script)
    prompt = {"type": "prompt", "prompt": "Is the canary well? $ARGUMENTS"}
    settings = json.dumps({"hooks": {"Stop": [{"hooks": [prompt]}]}})
    proxy = await start_proxy(provider.entry(profile=profile))
    done = await claude(proxy).ask("Say goodbye.", "--settings", settings)
    assert (done.failed, done.text) == (False, "Goodbye.")
    (asked,) = [request for request in provider.requests if not request.tool_names]
    form = asked.body["response_format"]
    if profile == "openai":
        assert form["json_schema"]["schema"]["required"] == ["ok", "reason"]
        assert form["json_schema"].get("strict") is not True  # not all its properties are required
    else:
        assert form == {"type": "json_object"}
        assert '"required":["ok","reason"]' in asked.messages[0]["content"]
