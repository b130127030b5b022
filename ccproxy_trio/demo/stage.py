"""The demo's stage: the simulated providers on loopback ports, and the settings that lead to them."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from msgspec import Struct

from ccproxy_trio.demo.providers import WORD_EVERY, SimulatedProvider, moody_moods, steady_moods
from ccproxy_trio.settings.model import BreakerSettings, Models, ProviderSettings, Secret, Settings

PHOENIX_DOWN_FOR = 10.0  # seconds

# In order of priority: the moody one first, so that there is something to see.
CAST: Mapping[str, Models] = {
    "moody": Models(big=("moody-large",), middle=("moody-medium",), small=("moody-small",)),
    "phoenix": Models(big=("phoenix-large",), middle=("phoenix-medium",)),
    "steady": Models(big=("steady-large",), middle=("steady-medium",), small=("steady-small",)),
}


class Stage(Struct, frozen=True):
    """Where the providers are (name -> port on 127.0.0.1), and whether phoenix has risen."""

    ports: Mapping[str, int]
    phoenix_is_up: trio.Event

    def settings(self) -> Settings:
        """The proxy's configuration for them: impatient, so that a viewer need not wait."""
        return Settings(
            providers=tuple(
                ProviderSettings(
                    name=name,
                    priority=priority,
                    api_key=Secret(f"demo-key-of-{name}"),
                    base_url=f"http://127.0.0.1:{self.ports[name]}/v1",
                    models=models,
                    max_retries=0,  # to be seen is the next provider, not a repetition
                )
                for priority, (name, models) in enumerate(CAST.items(), start=1)
            ),
            health_check_interval=0,  # phoenix is to be found again by a request
            circuit_breaker=BreakerSettings(failure_threshold=2, recovery_timeout=4.0, recovery_jitter=0.0),
        )


@asynccontextmanager
async def open_stage(
    *, phoenix_down_for: float = PHOENIX_DOWN_FOR, word_every: float = WORD_EVERY
) -> AsyncIterator[Stage]:
    """Serve the three providers while the block runs; times in seconds.

    All three ports are taken at once. Nobody listens on phoenix's at first, so it refuses connections like
    a machine that is down.
    """
    moody = SimulatedProvider("moody", moods=moody_moods(), word_every=word_every)
    phoenix = SimulatedProvider("phoenix", moods=steady_moods(), word_every=word_every)
    steady = SimulatedProvider("steady", moods=steady_moods(), word_every=word_every)
    with ExitStack() as closing:
        sockets = {name: closing.enter_context(_bound_socket()) for name in CAST}
        ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}
        stage = Stage(ports=ports, phoenix_is_up=trio.Event())
        async with trio.open_nursery() as nursery:
            await nursery.start(_serving(moody, sockets["moody"]))
            await nursery.start(_serving(steady, sockets["steady"]))
            nursery.start_soon(
                partial(
                    _rise,
                    nursery,
                    phoenix,
                    sockets["phoenix"],
                    after=phoenix_down_for,
                    up=stage.phoenix_is_up,
                )
            )
            yield stage
            nursery.cancel_scope.cancel()


async def _rise(
    nursery: trio.Nursery, phoenix: SimulatedProvider, bound: socket.socket, *, after: float, up: trio.Event
) -> None:
    await trio.sleep(after)
    await nursery.start(_serving(phoenix, bound))
    up.set()


def _serving(provider: SimulatedProvider, bound: socket.socket) -> Callable[..., Awaitable[None]]:
    """Hypercorn over one provider, to be started in a nursery. Owns the socket from here on."""
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.alpn_protocols = ["http/1.1"]
    config.accesslog = None
    config.errorlog = None
    return partial(serve, provider, config, shutdown_trigger=trio.sleep_forever)


def _bound_socket() -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.bind(("127.0.0.1", 0))
    return bound
