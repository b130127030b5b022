"""Every proxy that these tests start is watched: no test can forget what must hold after its fault."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal, Protocol

import pytest
import trio
from msgspec import Struct

from tests.conftest import Providers
from tests.conftest import StartProxy as StartUnwatched
from tests.support.chaos import ChaosProxy
from tests.support.client import MODEL
from tests.support.oracles import Control, Watch
from tests.support.proxy import Form, Proxy, ProxyError
from tests.support.scripted import ScriptedProvider
from tests.support.told import WIRES, Wire

CONTROL_MODEL = "claude-haiku-4-5-20251001"  # of the tier `small`, which is the control provider's alone


class Expect(Struct, frozen=True, kw_only=True):
    """How a proxy is left by its test.

    `control` "extra": a provider that is always well serves the tier `small`, and nobody else does; "own":
    there is none, and the test leaves one of its own well. `afterwards` "ended": the test has ended the
    process, and it has given status 0. `mishaps`: faults of the proxy's own that the test causes in it, as
    `/health` counts them.
    """

    control: Literal["extra", "own"] = "extra"
    afterwards: Literal["alive", "ended"] = "alive"
    mishaps: int = 0


class ChaosBefore(Protocol):
    """Put a chaos proxy before a provider; and the provider's entry, with its address for the provider's."""

    async def __call__(
        self, provider: ScriptedProvider, *, seed: int = ..., **more: Any
    ) -> tuple[ChaosProxy, dict[str, Any]]: ...


class StartProxy(Protocol):
    """As the fixture of all tests, and the proxy is watched."""

    async def __call__(
        self,
        *entries: ScriptedProvider | dict[str, Any],
        form: Form | None = ...,
        env: dict[str, str] | None = ...,
        expect: Expect = ...,
        **settings: Any,
    ) -> Proxy: ...


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    """The wire that the provider which fails is spoken to on; whoever takes this holds for each of them."""
    chosen: Wire = request.param
    return chosen


@pytest.fixture
async def start_proxy(start_proxy: StartUnwatched, providers: Providers) -> AsyncIterator[StartProxy]:
    async with AsyncExitStack() as afterwards:

        async def start(
            *entries: ScriptedProvider | dict[str, Any],
            form: Form | None = None,
            env: dict[str, str] | None = None,
            expect: Expect = Expect(),  # noqa: B008 - it is frozen
            **settings: Any,
        ) -> Proxy:
            ready = [entry.entry() if isinstance(entry, ScriptedProvider) else entry for entry in entries]
            if expect.control == "extra":
                ready = [*map(_without_small, ready), _control_entry(providers)]
            proxy = await start_proxy(*ready, form=form, env=env, **settings)
            watch = await Watch.over(proxy, providers.made)
            control = _control_request(expect, settings.get("client_api_keys", ()))
            afterwards.push_async_callback(_judge, proxy, watch, control, expect)
            return proxy

        yield start


@pytest.fixture
async def chaos_before(nursery: trio.Nursery) -> ChaosBefore:
    async def put(
        provider: ScriptedProvider, *, seed: int = 0, **more: Any
    ) -> tuple[ChaosProxy, dict[str, Any]]:
        chaos = ChaosProxy(provider.port, seed=seed)
        await nursery.start(chaos.serve)
        entry = provider.entry(**more)
        return chaos, entry | {"base_url": provider.base_url.replace(str(provider.port), str(chaos.port))}

    return put


async def _judge(proxy: Proxy, watch: Watch, control: Control, expect: Expect) -> None:
    if expect.afterwards == "alive":
        await watch.judge(control, mishaps=expect.mishaps)
    elif proxy.process.poll() != 0:
        raise ProxyError(f"it should have ended with status 0: {proxy.process.returncode}")


def _without_small(entry: dict[str, Any]) -> dict[str, Any]:
    models = {tier: names for tier, names in entry["models"].items() if tier != "small"}
    return entry | {"models": models}


def _control_entry(providers: Providers) -> dict[str, Any]:
    control = next((made for made in providers.made if made.name == "control"), None)
    control = control or providers.start("control")
    return control.entry(models={"small": [control.model]}, timeout=5)


def _control_request(expect: Expect, keys: Any) -> Control:
    headers = {"x_api_key": keys[0]} if keys else {}
    return Control(model=CONTROL_MODEL if expect.control == "extra" else MODEL, headers=headers)
