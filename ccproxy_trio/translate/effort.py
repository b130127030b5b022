"""How hard the model should think: what the client says, in the words of the upstream."""

from typing import assert_never

from msgspec import Struct

from ccproxy_trio.translate.dialect import Dialect, Effort
from ccproxy_trio.wire.anthropic import MessagesRequest, SystemMessage, ThinkingConfig, UserMessage
from ccproxy_trio.wire.openai import ReasoningOptions, TemplateArguments, ThinkingSwitch

SCALE: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BY_NAME: dict[str, Effort] = {effort: effort for effort in SCALE}
OFF: Effort = "none"


class Reasoning(Struct, frozen=True, kw_only=True):
    """The members of a chat request that speak of reasoning. None: say nothing."""

    reasoning_effort: str | None = None
    reasoning: ReasoningOptions | None = None
    thinking: ThinkingSwitch | None = None
    enable_thinking: bool | None = None
    chat_template_kwargs: TemplateArguments | None = None


def wanted(request: MessagesRequest) -> Effort | None:
    """The effort that the client asks for; `none`: it turned thinking off; None: it said nothing."""
    from_turn = _effort_of_last_turn(request)
    if from_turn is not None:
        return from_turn
    thinking = request.thinking
    if thinking is not None and thinking.type == "disabled":
        return OFF
    named = request.output_config.effort if request.output_config else None
    if named in _BY_NAME:
        return _BY_NAME[named]
    return None if thinking is None else _effort_of_thinking(thinking)


def clamp(effort: Effort, allowed: tuple[Effort, ...]) -> Effort | None:
    """The nearest allowed effort, lower rather than higher. None where none is allowed."""
    ranked = sorted(allowed, key=SCALE.index)
    below = [candidate for candidate in ranked if SCALE.index(candidate) <= SCALE.index(effort)]
    return below[-1] if below else next(iter(ranked), None)


def reasoning(request: MessagesRequest, dialect: Dialect, *, tools_offered: bool) -> Reasoning:
    """What to say about reasoning to this upstream."""
    effort = wanted(request)
    if tools_offered and not dialect.reasoning_with_tools and dialect.reasoning == "effort":
        # Said even if the client said nothing: the newest models refuse tools by their default effort.
        return Reasoning(reasoning_effort=clamp(OFF, dialect.efforts))
    if effort is None:
        return Reasoning()
    match dialect.reasoning:
        case "none":
            return Reasoning()
        case "effort" | "gemini":
            return Reasoning(reasoning_effort=clamp(effort, dialect.efforts))
        case "openrouter":
            return Reasoning(reasoning=_openrouter(request, effort, dialect))
        case "deepseek":
            return Reasoning(thinking=ThinkingSwitch("disabled" if effort == OFF else "enabled"))
        case "qwen" if dialect.qwen_template:
            return Reasoning(chat_template_kwargs=TemplateArguments(effort != OFF))
        case "qwen":
            return Reasoning(enable_thinking=effort != OFF)
        case _:
            assert_never(dialect.reasoning)


def _openrouter(request: MessagesRequest, effort: Effort, dialect: Dialect) -> ReasoningOptions:
    if effort == OFF:
        return ReasoningOptions(enabled=False)
    named = request.output_config.effort if request.output_config else None
    budget = request.thinking.budget_tokens if request.thinking else None
    if budget is not None and named is None and _effort_of_last_turn(request) is None:
        return ReasoningOptions(max_tokens=budget)
    return ReasoningOptions(effort=clamp(effort, dialect.efforts))


def _effort_of_last_turn(request: MessagesRequest) -> Effort | None:
    """The effort named by the last system message behind the last user message."""
    for message in reversed(request.messages):
        match message:
            case UserMessage():
                return None
            case SystemMessage(output_config=config) if config is not None and config.effort in _BY_NAME:
                return _BY_NAME[config.effort]
    return None


def _effort_of_thinking(thinking: ThinkingConfig) -> Effort:
    if thinking.type != "enabled":
        return "medium"
    budget = thinking.budget_tokens or 0
    if budget < 4_096:
        return "low"
    return "medium" if budget < 16_384 else "high"
