"""Scripts that answer by what the conversation has come to, so that extra requests do not upset them.

Claude Code asks for more than the turns a test is about (titles, subagents, repeats without stream), in no
fixed order. A script that counts requests would break; these look at the messages instead.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from tests.support.chunks import says
from tests.support.scripted import Reply, Request, Script


def turns_taken(request: Request) -> int:
    """How often the model has already spoken in this conversation."""
    return len(spoken(request))


def spoken(request: Request) -> list[dict[str, Any]]:
    """The model's own messages so far."""
    return [message for message in request.messages if message["role"] == "assistant"]


def tool_results(request: Request) -> list[str]:
    """What the tools gave back so far, in order, as text."""
    contents = [message["content"] for message in request.messages if message["role"] == "tool"]
    return [content if isinstance(content, str) else json.dumps(content) for content in contents]


def images(request: Request) -> list[bytes]:
    """Every image that the model is shown."""
    return [_data_of(part["image_url"]["url"]) for part in _parts(request, "image_url")]


def files(request: Request) -> list[bytes]:
    """Every file that the model is given."""
    return [_data_of(part["file"]["file_data"]) for part in _parts(request, "file")]


def _parts(request: Request, kind: str) -> list[dict[str, Any]]:
    contents = [message.get("content") for message in request.messages]
    lists = [content for content in contents if isinstance(content, list)]
    return [part for content in lists for part in content if part["type"] == kind]


def _data_of(url: str) -> bytes:
    return base64.b64decode(url.split(",", 1)[1])


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
