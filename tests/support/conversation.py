"""What a request of any wire says, in the words of Chat Completions, so that one script reads all three.

Nothing is judged here, and what no script asks about (reasoning, cache marks) is left out.
"""

import json
from collections.abc import Iterator
from typing import Any, assert_never

from tests.support.told import Wire

Message = dict[str, Any]


def messages_of(body: dict[str, Any], wire: Wire) -> list[Message]:
    """The conversation as chat messages: neighbouring words and calls of the model's are one message."""
    match wire:
        case "chat":
            messages: list[Message] = body["messages"]
            return messages
        case "responses":
            return _joined([*_instructions(body), *map(_of_item, _spoken(body["input"]))])
        case "anthropic":
            turns = [_of_turn(message) for message in body["messages"]]
            return [*_system(body), *[message for turn in turns for message in turn]]
        case _:
            assert_never(wire)


def tool_names_of(body: dict[str, Any], wire: Wire) -> list[str]:
    """The tools on offer; a tool that the provider runs itself goes by its name too."""
    tools: list[dict[str, Any]] = body.get("tools") or []
    if wire == "chat":
        return [tool["function"]["name"] for tool in tools]
    return [str(tool.get("name", tool.get("type"))) for tool in tools]


# -- the Responses wire --

_PARTS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}


def _instructions(body: dict[str, Any]) -> list[Message]:
    return [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []


def _spoken(items: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    return [item for item in items if item.get("type") != "reasoning"]


def _of_item(item: dict[str, Any]) -> Message:
    match item.get("type"):
        case "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            call = {"id": item["call_id"], "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "function_call_output":
            content = _content(item["output"])
            return {"role": "tool", "tool_call_id": item["call_id"], "content": content}
        case _:
            return {"role": item["role"], "content": _content(item["content"])}


def _content(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: dict[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "input_image":
            return {"type": "image_url", "image_url": {"url": part.get("image_url", "")}}
        case "input_file":
            return {"type": "file", "file": {key: part[key] for key in part if key != "type"}}
        case kind:
            return {"type": "text", "text": part.get("text", part.get(_PARTS.get(kind, ""), ""))}


def _joined(messages: list[Message]) -> list[Message]:
    """One turn of the model's is several items there."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"] == "assistant":
            joined[-1] = _one(joined[-1], message)
        else:
            joined.append(message)
    return joined


def _one(first: Message, second: Message) -> Message:
    calls = [*first.get("tool_calls", ()), *second.get("tool_calls", ())]
    texts = [message["content"] for message in (first, second) if message["content"]]
    content = texts[0] if len(texts) == 1 else texts or None
    return {"role": "assistant", "content": content} | ({"tool_calls": calls} if calls else {})


# -- Anthropic's wire --


def _system(body: dict[str, Any]) -> list[Message]:
    return [{"role": "system", "content": body["system"]}] if body.get("system") else []


def _of_turn(message: Message) -> Iterator[Message]:
    content = message["content"]
    if isinstance(content, str):
        yield {"role": message["role"], "content": content}
        return
    if message["role"] == "assistant":
        yield _of_model(content)
        return
    for block in content:
        if block["type"] == "tool_result":
            inner = block.get("content", "")
            told = inner if isinstance(inner, str) else [_of_block(each) for each in inner]
            yield {"role": "tool", "tool_call_id": block["tool_use_id"], "content": told}
    rest = [_of_block(block) for block in content if block["type"] != "tool_result"]
    if rest:
        yield {"role": message["role"], "content": rest}


def _of_model(content: list[dict[str, Any]]) -> Message:
    texts = [_of_block(block) for block in content if block["type"] == "text"]
    calls = [_of_use(block) for block in content if block["type"] == "tool_use"]
    return {"role": "assistant", "content": texts or None} | ({"tool_calls": calls} if calls else {})


def _of_use(block: dict[str, Any]) -> dict[str, Any]:
    function = {"name": block["name"], "arguments": json.dumps(block["input"])}
    return {"id": block["id"], "type": "function", "function": function}


def _of_block(block: dict[str, Any]) -> dict[str, Any]:
    source = block.get("source", {})
    url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
    match block["type"]:
        case "image":
            return {"type": "image_url", "image_url": {"url": url}}
        case "document":
            return {"type": "file", "file": {"file_data": url, "filename": block.get("title")}}
        case "text":
            return {"type": "text", "text": block["text"]}
        case _:
            return block
