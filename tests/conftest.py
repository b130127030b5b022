"""Fixtures for tests with real sockets and processes. Those of one layer only are in its own conftest."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
import trio

from tests.support.apart import run_apart
from tests.support.proxy import Form, Proxy, config_of
from tests.support.scripted import ScriptedProvider

TRANSPORTS = ("trio", "httpx", "httpx-http2")  # the first is what a configuration gets that names none

# A deadline per example says more about the machine than about the code.
hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--transport",
        choices=TRANSPORTS,
        help="How the proxies of `start_proxy` speak to providers; then only tests with such proxies run.",
    )
    parser.addoption(
        "--long", action="store_true", help="Also what waits for minutes that nothing can shorten."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "transport(name, *, reason): holds with this transport to the providers only, for this reason",
    )
    config.addinivalue_line("markers", "network: is run on a network of its own")


def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """What needs a network of its own is run elsewhere."""
    return run_apart(item)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With a transport named, leave out what does not depend on it: what starts no proxy over providers."""
    wanted: str | None = config.getoption("--transport")
    for item in items:
        only = item.get_closest_marker("transport")
        if only is not None and only.args[0] != (wanted or TRANSPORTS[0]):
            item.add_marker(
                pytest.mark.skip(f"with the transport {only.args[0]} only: {only.kwargs['reason']}")
            )
    if wanted is None:
        return
    chosen = [item for item in items if "start_proxy" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture(scope="session")
def transport(pytestconfig: pytest.Config) -> dict[str, str]:
    """The setting that `--transport` asks for."""
    wanted: str | None = pytestconfig.getoption("--transport")
    return {} if wanted is None else {"transport": wanted}


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_environment() -> Iterator[None]:
    """Keys and proxies of whoever runs the tests would change what the vendors' clients do."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().endswith(("_PROXY", "_API_KEY"))]:
            patch.delenv(name)
        yield


class Providers:
    """The scripted providers of one test."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.made: list[ScriptedProvider] = []

    def start(self, name: str, **options: Any) -> ScriptedProvider:
        """A provider that listens. `options` are those of `ScriptedProvider`."""
        provider = self.absent(name, **options)
        provider.open()
        return provider

    def absent(self, name: str, **options: Any) -> ScriptedProvider:
        """A provider that refuses connections until its `open()` is called."""
        provider = ScriptedProvider(name, self._nursery, **options)
        self.made.append(provider)
        return provider

    def settle(self) -> list[str]:
        """Give the ports back; everything that was wrong with the requests that came in."""
        for provider in self.made:
            provider.release()
        return [f"{provider.name}: {fault}" for provider in self.made for fault in provider.violations]


class StartProxy(Protocol):
    """Start a proxy over these providers (or ready-made entries); it is stopped at the end of the test."""

    async def __call__(
        self,
        *entries: ScriptedProvider | dict[str, Any],
        form: Form | None = ...,
        env: dict[str, str] | None = ...,
        **settings: Any,
    ) -> Proxy: ...


@pytest.fixture
async def providers(nursery: trio.Nursery) -> AsyncIterator[Providers]:
    house = Providers(nursery)
    yield house
    assert house.settle() == []


@pytest.fixture
def proxy_form() -> Form:
    """How `start_proxy` starts a proxy unless told."""
    return "warm"


@pytest.fixture
async def start_proxy(
    tmp_path: Path, providers: Providers, proxy_form: Form, transport: dict[str, str]
) -> AsyncIterator[StartProxy]:
    """Depends on `providers` so that the proxy is gone before they are."""
    async with AsyncExitStack() as running:

        async def start(
            *entries: ScriptedProvider | dict[str, Any],
            form: Form | None = None,
            env: dict[str, str] | None = None,
            **settings: Any,
        ) -> Proxy:
            ready = [entry.entry() if isinstance(entry, ScriptedProvider) else entry for entry in entries]
            config = config_of(ready, **(transport | settings))
            proxy = await trio.to_thread.run_sync(
                lambda: Proxy.start(tmp_path / "proxy", config, form=form or proxy_form, env=env)
            )
            running.push_async_callback(proxy.stop)
            return proxy

        yield start
