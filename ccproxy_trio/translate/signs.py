"""What betrays the kind of an upstream error beside its status: codes and words, as data.

A new wording is a new line here. Groups are asked in the order in which `errors.py` lists them; within a
group the first sign that shows decides.
"""

import re

from msgspec import Struct

from ccproxy_trio.translate.complaint import Complaint
from ccproxy_trio.wire.faults import FaultKind

NO_STATUS = 0  # of an error object inside a stream that names none


class Sign(Struct, frozen=True):
    """Any of `codes`, or words that match `text`; only with one of `statuses`."""

    kind: FaultKind
    statuses: frozenset[int]
    codes: frozenset[str] = frozenset()
    text: re.Pattern[str] | None = None

    def is_in(self, complaint: Complaint, status: int) -> bool:
        """Whether the complaint shows it."""
        if status not in self.statuses:
            return False
        if not self.codes.isdisjoint(complaint.codes):
            return True
        return self.text is not None and self.text.search(complaint.message) is not None


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE | re.DOTALL)


def first_sign(signs: tuple[Sign, ...], complaint: Complaint, status: int) -> FaultKind | None:
    """The kind that the first sign shown stands for."""
    return next((sign.kind for sign in signs if sign.is_in(complaint, status)), None)


_ANY = frozenset({NO_STATUS, *range(400, 600)})
_CLIENT = frozenset({NO_STATUS, *range(400, 500)})

KEYS_AND_ACCOUNTS: tuple[Sign, ...] = (
    Sign(
        FaultKind.AUTH,
        _ANY,
        codes=frozenset(
            {"invalid_api_key", "incorrect_api_key", "api_key_invalid", "invalid_authentication"}
        ),
    ),
    Sign(
        FaultKind.AUTH,
        frozenset({NO_STATUS, 400, 401, 403}),
        codes=frozenset({"authentication_error", "unauthenticated"}),
        text=_words(
            r"\b(?:incorrect|invalid|missing|expired) api[ _-]?key\b",
            r"\bapi[ _-]?key (?:is )?(?:not valid|expired)\b",
            # Anthropic says these under 400.
            r"\borgani[sz]ation has been disabled\b",
            r"\bcredential is only authorized for use with\b",
        ),
    ),
    Sign(
        FaultKind.QUOTA,
        _ANY,
        codes=frozenset(
            {
                "insufficient_quota",
                "billing_hard_limit_reached",
                "enforced_spend_limit_reached",
                "billing_not_active",
                "insufficient_balance",
                "insufficient_credits",
                "billing_error",
            }
        ),
    ),
    Sign(
        FaultKind.QUOTA,
        frozenset({NO_STATUS, 400, 402, 403, 429}),
        text=_words(
            r"\binsufficient (?:credits?|balance|funds|quota)\b",
            r"\bcredit balance is too low\b",
            r"\breached your specified (?:\w+ )?usage limits?\b",
            r"\bbilling hard limit\b",
            r"\brequires more credits\b",
        ),
    ),
)

# Most mean an empty account by it; Gemini says it of every limit by the minute, and when to come again.
QUOTA_OR_LIMIT: tuple[Sign, ...] = (
    Sign(
        FaultKind.QUOTA,
        frozenset({NO_STATUS, 400, 402, 403, 429}),
        text=_words(r"\bexceeded your current quota\b"),
    ),
)

CODES: tuple[Sign, ...] = (
    Sign(
        FaultKind.CONTENT_POLICY,
        _CLIENT,
        codes=frozenset(
            {
                "content_filter",
                "content_policy_violation",
                "responsibleaipolicyviolation",
                "data_inspection_failed",
                "moderation",
            }
        ),
    ),
    Sign(
        FaultKind.MODEL_NOT_FOUND,
        _CLIENT,
        codes=frozenset({"model_not_found", "deploymentnotfound", "invalid_model", "unsupported_model"}),
    ),
    Sign(
        FaultKind.MODEL_ACCESS,
        _CLIENT,
        codes=frozenset({"unsupported_country_region_territory", "model_access_denied"}),
    ),
    Sign(
        FaultKind.OVERLOADED,
        frozenset({NO_STATUS, 503}),
        codes=frozenset(
            {
                "overloaded_error",
                "overloaded",
                "engine_overloaded",
                "engine_overloaded_error",
                "server_is_overloaded",
                "slow_down",
            }
        ),
    ),
    Sign(FaultKind.GATEWAY_TIMEOUT, frozenset({NO_STATUS}), codes=frozenset({"timeout_error"})),
    Sign(FaultKind.CONTEXT_OVERFLOW, frozenset({NO_STATUS}), codes=frozenset({"request_too_large"})),
    Sign(
        FaultKind.RATE_LIMITED,
        frozenset({NO_STATUS}),
        codes=frozenset(
            {"rate_limit_exceeded", "rate_limit_error", "resource_exhausted", "too_many_requests"}
        ),
    ),
)

WORDS: tuple[Sign, ...] = (
    Sign(
        FaultKind.CONTENT_POLICY,
        _CLIENT,
        text=_words(
            r"\bcontent management policy\b",
            r"\brejected as a result of our safety system\b",
            r"\bblocked by (?:our )?content filtering policy\b",
            r"\bflagged as potentially violating\b",
        ),
    ),
    Sign(
        FaultKind.MODEL_ACCESS,
        frozenset({NO_STATUS, 400, 403}),
        text=_words(
            r"\b(?:location|country|region|territory)\b.{0,40}\bnot (?:supported|available|allowed)\b",
            r"\bnot available in your (?:country|region)\b",
            r"\bnot have access to (?:the |this )?model\b",
        ),
    ),
    Sign(
        FaultKind.MODEL_NOT_FOUND,
        frozenset({NO_STATUS, 400, 403, 404, 410, 422}),
        text=_words(
            r"\b(?:models?|deployment)\b.{0,120}?\b(?:does )?not (?:exist|found|be found)\b",
            r"\bmodel\b[^.]{0,80}? is not (?:supported|available|a valid model)\b",
            r"\bnot a valid model\b",
            r"\bunknown model\b",
            r"\bno such model\b",
            r"\bno endpoints found\b",
        ),
    ),
    # Anthropic says no more than the name. Under 400, `model: Field required` begins like that, too.
    Sign(FaultKind.MODEL_NOT_FOUND, frozenset({NO_STATUS, 404}), text=_words(r"^model: ?\S")),
    Sign(
        FaultKind.OVERLOADED,
        frozenset({NO_STATUS, 503}),
        text=_words(
            r"\boverload(?:ed)?\b", r"\b(?:over|at|no|insufficient) capacity\b", r"\bcapacity exceeded\b"
        ),
    ),
    Sign(
        FaultKind.RATE_LIMITED,
        frozenset({NO_STATUS}),
        text=_words(r"\brate[ _-]?limit", r"\btoo many requests\b"),
    ),
    Sign(FaultKind.AUTH, frozenset({NO_STATUS}), codes=frozenset({"permission_error"})),
)

STATUSES: dict[int, FaultKind] = {
    401: FaultKind.AUTH,
    402: FaultKind.QUOTA,
    403: FaultKind.AUTH,
    404: FaultKind.MISCONFIGURED,
    405: FaultKind.MISCONFIGURED,
    407: FaultKind.MISCONFIGURED,
    408: FaultKind.REQUEST_TIMEOUT,
    409: FaultKind.CONFLICT,
    410: FaultKind.MISCONFIGURED,
    413: FaultKind.CONTEXT_OVERFLOW,
    425: FaultKind.CONFLICT,
    429: FaultKind.RATE_LIMITED,
    451: FaultKind.MODEL_ACCESS,
    498: FaultKind.OVERLOADED,  # Groq: no capacity left
    499: FaultKind.SERVER_ERROR,  # a proxy of theirs gave up
    504: FaultKind.GATEWAY_TIMEOUT,
    524: FaultKind.GATEWAY_TIMEOUT,
    529: FaultKind.OVERLOADED,
    NO_STATUS: FaultKind.UPSTREAM_ERROR,
}


def by_status(status: int) -> FaultKind:
    """What a status means by itself."""
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return FaultKind.SERVER_ERROR
    if status >= 400:
        return FaultKind.BAD_REQUEST
    # 3xx: never followed, the key would go along. Less: not the 200 that was asked for.
    return FaultKind.MISCONFIGURED if status >= 300 else FaultKind.PROTOCOL
