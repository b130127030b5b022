"""Anthropic Messages requests as types, and the border where bytes become them.

Unknown top-level fields are accepted and ignored: clients differ, and new betas appear weekly. A block
of an unknown type is kept as `UnknownBlock`, so that the one who translates decides about it.

Source: Anthropic's Messages API reference and the `anthropic` package's beta types.
"""

import re
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Raw, Struct

from ccproxy_trio.wire.blocks import (
    AssistantBlock,
    CacheControl,
    ResultItem,
    TextBlock,
    UnknownBlock,
    UserBlock,
)
from ccproxy_trio.wire.faults import RequestRefused
from ccproxy_trio.wire.tools import Tool, ToolAdditionBlock, ToolRemovalBlock

SystemBlock = TextBlock | ToolAdditionBlock | ToolRemovalBlock | UnknownBlock


class JsonFormat(Struct, frozen=True):
    """The answer must be JSON that fits `schema`."""

    type: Literal["json_schema"]
    schema: Raw


class OutputConfig(Struct, frozen=True):
    """How hard to think and in what form to answer. Known efforts: low, medium, high, xhigh, max."""

    effort: str | None = None
    format: JsonFormat | None = None


class UserMessage(Struct, frozen=True, tag_field="role", tag="user"):
    """A turn of the user, tool results included."""

    content: str | tuple[UserBlock, ...]


class AssistantMessage(Struct, frozen=True, tag_field="role", tag="assistant"):
    """A turn of the model."""

    content: str | tuple[AssistantBlock, ...]


class SystemMessage(Struct, frozen=True, tag_field="role", tag="system"):
    """An instruction in the middle of the conversation. Accepted anywhere: first, last, neighbours."""

    content: str | tuple[SystemBlock, ...] = ""
    clear_at: str | None = None  # "next_user_message" or "never"
    output_config: OutputConfig | None = None


Message = UserMessage | AssistantMessage | SystemMessage


class ThinkingConfig(Struct, frozen=True):
    """Known types: enabled (with a budget in tokens), adaptive, between_tools, disabled."""

    type: str
    budget_tokens: int | None = None
    display: str | None = None  # "omitted": the client wants signatures, not the text


class AutoChoice(Struct, frozen=True, tag="auto"):
    """The model decides."""

    disable_parallel_tool_use: bool | None = None


class AnyChoice(Struct, frozen=True, tag="any"):
    """The model must call some tool."""

    disable_parallel_tool_use: bool | None = None


class NamedChoice(Struct, frozen=True, tag="tool"):
    """The model must call this tool."""

    name: str
    disable_parallel_tool_use: bool | None = None


class NoChoice(Struct, frozen=True, tag="none"):
    """The model must not call tools."""

    disable_parallel_tool_use: bool | None = None


ToolChoice = AutoChoice | AnyChoice | NamedChoice | NoChoice


class Metadata(Struct, frozen=True):
    """Who asks. Claude Code puts a JSON string of device, account and session ids here: never forward it."""

    user_id: str | None = None


class Thread(Struct, frozen=True):
    """History kept by Anthropic. `create` starts one, `continue` relies on it."""

    type: str = ""


class CountRequest(Struct, frozen=True, kw_only=True):
    """A body of `/v1/messages/count_tokens`: a message request that needs no answer."""

    model: str
    messages: tuple[Message, ...] = ()
    system: str | tuple[TextBlock, ...] | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None


class MessagesRequest(CountRequest, frozen=True, kw_only=True):
    """A body of `/v1/messages`."""

    model: Annotated[str, Meta(min_length=1, max_length=512)]
    messages: Annotated[tuple[Message, ...], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    stream: bool | None = False
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    stop_sequences: tuple[str, ...] | None = None
    output_format: JsonFormat | None = None  # what `output_config.format` was called once
    metadata: Metadata | None = None
    service_tier: str | None = None
    speed: str | None = None
    cache_control: CacheControl | None = None
    # Left out, and told to the operator.
    inference_geo: Raw = Raw(b"null")
    billing_policy: Raw = Raw(b"null")
    context_management: Raw = Raw(b"null")
    # What cannot be served elsewhere; `translate` refuses it where leaving it out would change the answer.
    mcp_servers: tuple[Raw, ...] | None = None
    container: str | dict[str, Raw] | None = None
    compaction: dict[str, Raw] | None = None
    thread: Thread | None = None


_Decoded = TypeVar("_Decoded")
_REQUEST = msgspec.json.Decoder(MessagesRequest)
_COUNT = msgspec.json.Decoder(CountRequest)


def decode_request(body: bytes) -> MessagesRequest:
    """Read the body of `/v1/messages`.

    Raises:
        RequestRefused: 400; the text names the path of the fault as `messages.0.content.1.text`.
    """
    return _decode(body, _REQUEST)


def decode_count(body: bytes) -> CountRequest:
    """Read the body of `/v1/messages/count_tokens`.

    Raises:
        RequestRefused: as `decode_request`.
    """
    return _decode(body, _COUNT)


def _decode(body: bytes, decoder: msgspec.json.Decoder[_Decoded]) -> _Decoded:
    try:
        if not body.isascii():
            body.decode()  # msgspec passes over what stays Raw without looking at its encoding
        try:
            return decoder.decode(body)
        except msgspec.ValidationError:
            return decoder.decode(_with_unknown_blocks_marked(body))
    except msgspec.ValidationError as error:
        raise RequestRefused(_plainly(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestRefused(_why_not_json(body, error)) from error
    except RecursionError as error:
        raise RequestRefused("The request body is nested too deeply.") from error


def _why_not_json(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "The request body is empty; it must be a JSON object."
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in body[:2]:
        return "The request body is not UTF-8 (it looks like UTF-16)."
    if body.startswith(b"\xef\xbb\xbf"):
        return "The request body begins with a byte order mark; send plain UTF-8."
    if isinstance(error, UnicodeDecodeError):
        return f"The request body is not UTF-8: {error.reason}."
    if "truncated" in str(error):
        return (
            "The request body is not valid JSON: it is cut short, or a string holds half of a surrogate pair."
        )
    return f"The request body is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}."


_AT = re.compile(r"(.*) - at `(?:key in )?\$\.?(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")


def _plainly(complaint: str) -> str:
    """Turn "Expected `str`, got `int` - at `$.a[0].b`" into "a.0.b: Expected `str`, got `int`"."""
    placed = _AT.fullmatch(complaint)
    reason, path = placed.groups() if placed else (complaint, "")
    path = path.replace("[...]", ".*").replace("[", ".").replace("]", "")
    missing = _MISSING.fullmatch(reason)
    if missing:
        path, reason = f"{path}.{missing[1]}".lstrip("."), "field required"
    return f"{path or 'The request body'}: {reason}"


def _tags(union: Any) -> frozenset[str]:
    return frozenset(str(member.__struct_config__.tag) for member in get_args(union))


_KNOWN = {"user": _tags(UserBlock), "assistant": _tags(AssistantBlock), "system": _tags(SystemBlock)}
_KNOWN_IN_RESULT = _tags(ResultItem)


class _Tagged(Struct):
    type: str


def _with_unknown_blocks_marked(body: bytes) -> bytes:
    """The same body with every block of an unknown type wrapped into an `UnknownBlock`.

    Off the fast path: it runs only after a body did not fit. Whatever does not look like a request is left as
    it is, so that the strict decoder's complaint names its place.
    """
    fields = msgspec.json.decode(body, type=dict[str, Raw])
    if "messages" not in fields:
        return body
    try:
        messages = msgspec.json.decode(fields["messages"], type=list[dict[str, Raw]])
    except msgspec.ValidationError:
        return body
    for message in messages:
        known = _KNOWN.get(bytes(message.get("role", Raw(b""))).decode().strip('"'))
        if known and "content" in message:
            message["content"] = _marked_list(message["content"], known)
    return msgspec.json.encode({**fields, "messages": messages})


def _marked_list(content: Raw, known: frozenset[str]) -> Raw:
    try:
        blocks = msgspec.json.decode(content, type=list[Raw])
    except msgspec.ValidationError:
        return content  # a string, or something that the strict decoder will complain of
    return Raw(msgspec.json.encode([_marked(block, known) for block in blocks]))


def _marked(block: Raw, known: frozenset[str]) -> Raw:
    try:
        name = msgspec.json.decode(block, type=_Tagged).type
    except msgspec.ValidationError:
        return block
    if name not in known or name == "unknown":
        return Raw(msgspec.json.encode(UnknownBlock(name=name, raw=block)))
    if name == "tool_result":
        fields = msgspec.json.decode(block, type=dict[str, Raw])
        if "content" in fields:
            fields["content"] = _marked_list(fields["content"], _KNOWN_IN_RESULT)
        return Raw(msgspec.json.encode(fields))
    return block
