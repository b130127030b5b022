"""Scripts that answer by what the conversation has come to, so that extra requests do not upset them.

Claude Code asks for more than the turns a test is about (titles, subagents, repeats without stream), in no
fixed order. A script that counts requests would break; these look at the messages instead.
"""

import json
from collections.abc import Mapping

from tests.support.chunks import says
from tests.support.scripted import Reply, Request, Script


def turns_taken(request: Request) -> int:
    """How often the model has already spoken in this conversation."""
    return sum(message["role"] == "assistant" for message in request.messages)


def tool_results(request: Request) -> list[str]:
    """What the tools gave back so far, in order, as text."""
    contents = [message["content"] for message in request.messages if message["role"] == "tool"]
    return [content if isinstance(content, str) else json.dumps(content) for content in contents]


def agent(*replies: Reply) -> Script:
    """Answer the n-th turn of the conversation with the n-th reply, the last one from there on.

    A request that offers no tools is none of the agent's: it is answered with a short text.
    """

    def answer(request: Request) -> Reply:
        if not request.tool_names:
            return says("aside")
        return replies[min(turns_taken(request), len(replies) - 1)]

    return answer


def by_prompt(scripts: Mapping[str, Script], *, otherwise: Script) -> Script:
    """Choose the script whose key occurs in the conversation's first user message: one for each agent."""

    def answer(request: Request) -> Reply:
        opening = next(json.dumps(message) for message in request.messages if message["role"] == "user")
        chosen = next((script for phrase, script in scripts.items() if phrase in opening), otherwise)
        return chosen(request)

    return answer
