"""Fixtures for tests with real sockets and processes. Those of one layer only are in its own conftest."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
import trio

from tests.support.proxy import Form, Proxy, config_of
from tests.support.scripted import ScriptedProvider

# A deadline per example says more about the machine than about the code.
hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.load_profile("house")


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
        self._made: list[ScriptedProvider] = []

    def start(self, name: str, **options: Any) -> ScriptedProvider:
        """A provider that listens. `options` are those of `ScriptedProvider`."""
        provider = self.absent(name, **options)
        provider.open()
        return provider

    def absent(self, name: str, **options: Any) -> ScriptedProvider:
        """A provider that refuses connections until its `open()` is called."""
        provider = ScriptedProvider(name, self._nursery, **options)
        self._made.append(provider)
        return provider

    def settle(self) -> list[str]:
        """Give the ports back; everything that was wrong with the requests that came in."""
        for provider in self._made:
            provider.release()
        return [f"{provider.name}: {fault}" for provider in self._made for fault in provider.violations]


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
    """How `start_proxy` starts a proxy unless told: with one process instead of two, which is faster."""
    return "serve"


@pytest.fixture
async def start_proxy(tmp_path: Path, providers: Providers, proxy_form: Form) -> AsyncIterator[StartProxy]:
    """Depends on `providers` so that the proxy is gone before they are."""
    async with AsyncExitStack() as running:

        async def start(
            *entries: ScriptedProvider | dict[str, Any],
            form: Form | None = None,
            env: dict[str, str] | None = None,
            **settings: Any,
        ) -> Proxy:
            ready = [entry.entry() if isinstance(entry, ScriptedProvider) else entry for entry in entries]
            config = config_of(ready, **settings)
            proxy = await trio.to_thread.run_sync(
                lambda: Proxy.start(tmp_path / "proxy", config, form=form or proxy_form, env=env)
            )
            running.push_async_callback(proxy.stop)
            return proxy

        yield start
