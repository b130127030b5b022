"""What `/health` and `/v1/models` show: the shape users know, with more beside it."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ccproxy_trio.actors.dispatcher import DispatcherView, Routes
from ccproxy_trio.health.breaker import State
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.journal import Tally
from ccproxy_trio.routing.readiness import ready_at
from ccproxy_trio.settings.model import ProviderSettings, Settings, Tier

# Claude Code's own names; each is routed to the tier it stands for.
_CLAUDE_MODELS: tuple[tuple[Tier, str, str], ...] = (
    ("big", "claude-opus-4-8", "Opus"),
    ("middle", "claude-sonnet-5", "Sonnet"),
    ("small", "claude-haiku-4-5-20251001", "Haiku"),
)


class ProviderHealth(Struct, frozen=True, kw_only=True):
    """One provider. Users' scripts read the first five fields; stamps are epoch seconds, spans seconds."""

    status: Literal["healthy", "circuit_open", "disabled"]
    priority: int
    failure_count: int = 0
    last_success: float | None = None
    last_failure: float | None = None
    state: str
    opens: int = 0
    open_for_s: float | None = None
    cooling_for_s: float | None = None
    in_flight: int = 0
    last_error_type: str | None = None
    excluded_models: tuple[str, ...] = ()
    learned: Mapping[str, tuple[str, ...]] = {}


class InternalErrors(Struct, frozen=True, kw_only=True):
    """How often, since the process began, something went wrong that should not be able to."""

    grammar: int
    actors: int
    others: int


class Health(Struct, frozen=True, kw_only=True):
    """The whole of `/health`."""

    status: Literal["healthy", "unhealthy"]
    providers: Mapping[str, ProviderHealth]
    internal_errors: InternalErrors


class Model(Struct, frozen=True, kw_only=True):
    """One entry of `/v1/models`."""

    id: str
    display_name: str
    type: str = "model"
    created_at: str = "1970-01-01T00:00:00Z"


class ModelPage(Struct, frozen=True, kw_only=True):
    """The whole of `/v1/models`; there is never a second page."""

    data: tuple[Model, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool = False


def health(settings: Settings, routes: Routes, view: DispatcherView, *, tally: Tally) -> Health:
    """What the proxy knows of its providers."""
    providers = {
        provider.name: _provider_health(provider, view.snapshots.get(provider.name), view.now)
        for provider in settings.providers
    }
    return Health(
        status="healthy" if is_ready(routes, view) else "unhealthy",
        providers=providers,
        internal_errors=InternalErrors(grammar=tally.grammar, actors=tally.actors, others=tally.others),
    )


def is_ready(routes: Routes, view: DispatcherView) -> bool:
    """At least one candidate would be tried by the next request."""
    return any(
        ready_at(view.snapshots.get(candidate.provider), candidate.model, view.now) <= view.now
        for candidates in routes.candidates.values()
        for candidate in candidates
    )


def models(routes: Routes) -> ModelPage:
    """The tiers, under names that Claude Code's model picker shows: it drops all but `claude...`."""
    data = tuple(
        Model(id=name, display_name=f"{label} ({first.model} at {first.provider})")
        for tier, name, label in _CLAUDE_MODELS
        for first in sorted(routes.candidates[tier], key=lambda c: routes.rules.priorities[c.provider])[:1]
    )
    return ModelPage(data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None)


def _provider_health(provider: ProviderSettings, snapshot: Snapshot | None, now: float) -> ProviderHealth:
    if not provider.enabled:
        return ProviderHealth(status="disabled", priority=provider.priority, state="disabled")
    if snapshot is None:  # its actor has not spoken yet
        return ProviderHealth(status="healthy", priority=provider.priority, state=str(State.CLOSED))
    cooling_until = max(snapshot.cooling.values(), default=now)
    is_open = snapshot.state is not State.CLOSED
    return ProviderHealth(
        status="circuit_open" if is_open else "healthy",
        priority=provider.priority,
        failure_count=snapshot.failure_count,
        last_success=snapshot.last_success,
        last_failure=snapshot.last_failure,
        state=_state(snapshot, is_cooling=cooling_until > now),
        opens=snapshot.opens,
        open_for_s=_seconds(snapshot.reopens_at, now) if is_open else None,
        cooling_for_s=_seconds(cooling_until, now) if cooling_until > now else None,
        in_flight=snapshot.in_flight,
        last_error_type=None if snapshot.last_error is None else str(snapshot.last_error),
        excluded_models=tuple(model for model, until in snapshot.excluded.items() if until > now),
        learned={
            model: tuple(lesson.words() for lesson in lessons) for model, lessons in snapshot.learned.items()
        },
    )


def _state(snapshot: Snapshot, *, is_cooling: bool) -> str:
    if snapshot.flag is not None:  # a trouble to be mended, whether or not the breaker has had enough of it
        return str(snapshot.flag)
    if snapshot.state is State.CLOSED and is_cooling:
        return "cooling"
    return str(snapshot.state)


def _seconds(until: float | None, now: float) -> float | None:
    return None if until is None else round(max(0.0, until - now), 1)
