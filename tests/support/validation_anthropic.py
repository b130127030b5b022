"""Whether a Messages request is one that Anthropic would take. The judge is the `anthropic` package.

The beta API's parameter types are checked with unknown keys forbidden at every depth; what a beta adds is
taken only with its header. After them comes what types cannot say, in the API's own words where it has some.
`thinking_refusal` is what a strict Anthropic says of thinking that it did not give.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from tests.support.seals import is_redacted, is_signature
from tests.support.typed import adapter, type_violations, without

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_MOST_CACHE_MARKS = 4
_LEAST_BUDGET = 1024  # tokens
_BETA_OF_FIELD = {"context_management": "context-management-", "speed": "fast-mode-"}
_SYSTEM_BETA = "mid-conversation-system-"
_SCOPE_BETA = "prompt-caching-scope-"
_UNANSWERED = "`tool_use` ids were found without `tool_result` blocks immediately after"
Block = dict[str, Any]
Strictness = Literal["lenient", "signatures", "turns"]


@cache
def judge() -> TypeAdapter[Any]:
    """The types to judge by, made the first time."""
    # Seconds of importing, which most test runs have no use for.
    from anthropic.types.beta.message_create_params import MessageCreateParams

    return adapter(MessageCreateParams)


def violations(
    body: dict[str, Any], *, betas: Sequence[str] = (), also_allowed: frozenset[str] = frozenset()
) -> list[str]:
    """Everything that is wrong with a request body, a sentence each; `betas` are those of its header.

    `also_allowed` names keys of other dialects, which are left unchecked wherever they are.
    """
    known = also_allowed | ({"scope"} if _has(betas, _SCOPE_BETA) else frozenset())
    mistyped = list(type_violations(judge(), without(body, known)))
    if mistyped:
        return mistyped
    messages: list[dict[str, Any]] = body["messages"]
    return [
        *_beta_violations(body, betas),
        *_rule_violations(body),
        *_role_violations(messages),
        *_tool_violations(body),
        *_pair_violations(messages),
        *_text_violations(body),
        *_mark_violations(body),
    ]


def _has(betas: Sequence[str], prefix: str) -> bool:
    return any(beta.startswith(prefix) for beta in betas)


def _beta_violations(body: dict[str, Any], betas: Sequence[str]) -> Iterator[str]:
    for field, prefix in _BETA_OF_FIELD.items():
        if field in body and not _has(betas, prefix):
            yield f"{field}: Extra inputs are not permitted"
    roles = [message["role"] for message in body["messages"]]
    if "system" in roles and not _has(betas, _SYSTEM_BETA):
        yield f"messages.{roles.index('system')}: role 'system' is not supported"


def _rule_violations(body: dict[str, Any]) -> Iterator[str]:
    thinking = body.get("thinking") or {}
    is_on = thinking.get("type") in ("enabled", "adaptive")
    if thinking.get("type") == "enabled":
        if not _LEAST_BUDGET <= thinking["budget_tokens"] < body["max_tokens"]:
            yield "thinking.budget_tokens: must be at least 1024 and less than `max_tokens`"
        if body.get("temperature", 1) != 1:
            yield "`temperature` may only be set to 1 when thinking is enabled"
    choice = (body.get("tool_choice") or {}).get("type")
    if thinking.get("type") == "enabled" and choice in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."
    if choice is not None and not body.get("tools"):
        yield "tool_choice: may only be specified while providing tools"
    edits = [edit["type"] for edit in (body.get("context_management") or {}).get("edits", ())]
    if not is_on and any(edit.startswith("clear_thinking_") for edit in edits):
        yield "context_management: `clear_thinking` strategy requires `thinking` to be enabled or adaptive"
    if body["max_tokens"] < 1:
        yield "max_tokens: must be greater than or equal to 1"
    if "ccpx1." in json.dumps(body):
        yield "a signature of the proxy's own was sent on"


def _role_violations(messages: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not messages:
        yield "messages: at least one message is required"
    elif messages[0]["role"] != "user":
        yield "messages: first message must use the user role"


def _tool_violations(body: dict[str, Any]) -> Iterator[str]:
    names = [tool["name"] for tool in body.get("tools", ()) if "name" in tool]
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    for name in names:
        if not _TOOL_NAME.fullmatch(name):
            yield f"tools: String should match pattern, not {name!r}"


def _pair_violations(messages: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Every call is answered once, at the beginning of the very next message."""
    made: set[str] = set()
    waiting: list[str] = []
    for place, message in enumerate(messages):
        blocks = _blocks(message)
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        first = [block["type"] for block in blocks[: len(results)]]
        if results and set(first) != {"tool_result"}:
            yield f"messages.{place}: `tool_result` blocks must come first"
        if len(set(results)) < len(results):
            yield f"messages.{place}: each tool_use must have a single result"
        if set(waiting) - set(results):
            yield f"messages.{place - 1}: {_UNANSWERED}"
        if set(results) - set(waiting):
            yield f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks"
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if made & set(waiting) or len(set(waiting)) < len(waiting):
            yield f"messages.{place}: `tool_use` ids must be unique"
        made |= set(waiting)
        for use_id in (*waiting, *results):
            if not _TOOL_ID.fullmatch(use_id):
                yield f"messages.{place}: the id {use_id!r} should match pattern '^[a-zA-Z0-9_-]+$'"
    if waiting:
        yield f"messages: {_UNANSWERED}"


def _text_violations(body: dict[str, Any]) -> Iterator[str]:
    last = len(body["messages"]) - 1
    for place, message in enumerate(body["messages"]):
        if message["content"] in ("", []) and not (place == last and message["role"] == "assistant"):
            yield f"messages.{place}: all messages must have non-empty content"
        for block in _blocks(message):
            inner = block.get("content") if block["type"] == "tool_result" else None
            for part in (block, *(inner if isinstance(inner, list) else ())):
                yield from _empty_text(part, f"messages.{place}")
    system = body.get("system")
    for block in system if isinstance(system, list) else ():
        yield from _empty_text(block, "system")
    final = body["messages"][-1] if body["messages"] else {}
    if final.get("role") == "assistant" and _last_text(final) != _last_text(final).rstrip():
        yield "messages: final assistant content cannot end with trailing whitespace"


def _empty_text(block: Block, place: str) -> Iterator[str]:
    if block["type"] == "text" and not block["text"]:
        yield f"{place}: text content blocks must be non-empty"
    elif block["type"] == "text" and not block["text"].strip():
        yield f"{place}: text content blocks must contain non-whitespace text"


def _last_text(message: dict[str, Any]) -> str:
    blocks = _blocks(message)
    return str(blocks[-1].get("text", "")) if blocks else str(message["content"] or "")


def _mark_violations(body: dict[str, Any]) -> Iterator[str]:
    count = json.dumps(without(body, {"input", "input_schema"})).count('"cache_control": {')
    if count > _MOST_CACHE_MARKS:
        yield f"A maximum of 4 blocks with cache_control may be provided. Found {count}."


def _blocks(message: dict[str, Any]) -> list[Block]:
    content = message["content"]
    return [] if isinstance(content, str) else list(content)


# -- thinking --


def thinking_refusal(body: dict[str, Any], name: str, strictness: Strictness) -> str | None:
    """What the provider `name` says of the thinking in the history; None: it is content.

    "signatures": each block has to be its own. "turns": besides, with thinking on, the turn that is under way
    has to begin with a thinking block if it calls tools.
    """
    if strictness == "lenient":
        return None
    messages = body["messages"]
    for place, message in enumerate(messages):
        for index, block in enumerate(_blocks(message)):
            if not _is_own(block, name):
                kind = block["type"]
                member = "signature" if kind == "thinking" else "data"
                return f"messages.{place}.content.{index}: Invalid `{member}` in `{kind}` block"
    is_on = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    return _headless_turn(messages) if is_on and strictness == "turns" else None


def _is_own(block: Block, name: str) -> bool:
    match block["type"]:
        case "thinking":
            return is_signature(block["signature"], name, block["thinking"])
        case "redacted_thinking":
            return is_redacted(block["data"], name)
        case _:
            return True


def _headless_turn(messages: Sequence[dict[str, Any]]) -> str | None:
    """Its words about the first turn behind the user's last words that calls tools without having thought."""
    spoken = [place for place, message in enumerate(messages) if _is_the_users(message)]
    for place in range(spoken[-1] + 1 if spoken else 0, len(messages)):
        kinds = [block["type"] for block in _blocks(messages[place])]
        if messages[place]["role"] != "assistant" or "tool_use" not in kinds:
            continue
        if kinds[0] in ("thinking", "redacted_thinking"):
            return None
        return (
            f"messages.{place}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{kinds[0]}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block. To avoid this requirement, disable `thinking`."
        )
    return None


def _is_the_users(message: dict[str, Any]) -> bool:
    """Whether a person said it: a message of results goes on with the turn that called."""
    blocks = _blocks(message)
    return message["role"] == "user" and not any(block["type"] == "tool_result" for block in blocks)
