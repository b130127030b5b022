"""A request of Claude Code's size: three system blocks, 24 tools with schemas, a short conversation."""

import msgspec

TOOLS = 24
PARAGRAPH = "Look before you change anything, change one thing at a time, and say what you have done. "
SIZES = {"system": 180, "tool": 23}  # paragraphs, which together come to about 76 kB


def messages_request(model: str, *, stream: bool, tools: int = TOOLS) -> bytes:
    """The body for `POST /v1/messages`."""
    ask = {
        "model": model,
        "max_tokens": 32000,
        "stream": stream,
        "system": _system(),
        "tools": [_tool(number) for number in range(tools)],
        "messages": [{"role": "user", "content": "What does this repository do?"}],
    }
    return msgspec.json.encode(ask)


def completion_request() -> bytes:
    """The body for `POST /v1/chat/completions`, of about the same size."""
    system = PARAGRAPH * (SIZES["system"] + TOOLS * SIZES["tool"])
    return msgspec.json.encode(
        {
            "model": "any",
            "stream": True,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": "What does this repository do?"},
            ],
        }
    )


def _system() -> list[dict[str, object]]:
    cached = {"type": "ephemeral"}
    return [
        {"type": "text", "text": "You are a coding assistant."},
        {"type": "text", "text": "Be brief and correct.", "cache_control": cached},
        {"type": "text", "text": PARAGRAPH * SIZES["system"], "cache_control": cached},
    ]


def _tool(number: int) -> dict[str, object]:
    return {
        "name": f"Tool{number}",
        "description": PARAGRAPH * SIZES["tool"],
        "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "additionalProperties": False,
            "required": ["path"],
            "properties": {
                "path": {"type": "string", "description": "The file to work on."},
                "lines": {"type": "integer", "minimum": 1, "default": 100},
                "mode": {"enum": ["read", "write", "append"]},
                "edits": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"old": {"type": "string"}, "new": {"type": "string"}},
                        "required": ["old", "new"],
                    },
                },
            },
        },
    }
