"""How each program is started so that it asks the benchmark's upstreams, and nobody else.

Every program gets a home of its own, an environment with nothing of whoever measures in it, and the address
of providers on 127.0.0.1. What it would fetch from the internet is switched off where it has a switch.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.load import Ask
from benchmarks.peers import NOTHING, OURS, Does, Given, Peer, binaries, modules
from benchmarks.prompt import messages_request
from benchmarks.subjects import MODELS, Mode, completion_ask, messages_ask

BIG, MIDDLE, SMALL = MODELS["big"], MODELS["middle"], MODELS["small"]
TIERS = {model: tier for tier, model in MODELS.items()}
NO_FILES: Mapping[str, bytes] = MappingProxyType({})
NEVER = 86_400.0  # seconds; longer than any measurement
ROOT = Path(__file__).parents[1]

# Hono's server listens on every interface, and the gateway has no option for it.
LOOPBACK_ONLY = b"""\
const { Server } = require("net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, { port, host: "127.0.0.1" }, rest.find((each) => typeof each === "function"));
};
"""


class Route(Struct, frozen=True, kw_only=True):
    """Where requests for one model go: to the canned upstream's `model`, or first to the failing `first`."""

    model: str
    first: str | None = None  # base URL


class Site(Struct, frozen=True, kw_only=True):
    """What a program is started with. `routes`: by the client's name for the model."""

    port: int
    home: Path
    folder: Path  # its installation
    upstream: str  # base URL of the canned upstream
    routes: Mapping[str, Route]


class Launch(Struct, frozen=True, kw_only=True):
    """A process to be. `files` are written below its home before."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = NOTHING
    files: Mapping[str, bytes] = NO_FILES
    folder: Path | None = None  # to start in; None: its home


def launch(peer: Peer, site: Site) -> Launch:
    """How `peer` is started at `site`."""
    if isinstance(peer.source, Given):
        return _given(peer.source, site)
    makers = {
        OURS: _ours,
        "litellm": _litellm,
        "ccr": _ccr,
        "openai2claude": _openai2claude,
        "portkey": _portkey,
    }
    return makers[peer.name](site)


def ask(peer: Peer, site: Site, model: str, mode: Mode) -> Ask:
    """What the client sends to get the answer of `model`, a key of the site's routes."""
    route = site.routes[model]
    name = asked_name(peer, model, route)
    if peer.does is Does.RELAY:
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": site.upstream}
        return replace(completion_ask(name, mode), headers=headers)
    return messages_ask(messages_request(name, stream=mode is Mode.STREAM), mode, route.model)


def asked_name(peer: Peer, model: str, route: Route) -> str:
    """What a model is called when `peer` is asked: some map names, the others pass them on."""
    if peer.name in (OURS, "litellm"):
        return model
    if peer.name == "ccr":
        return f"{_provider_name(model, route)},{route.model}"
    prefix = peer.source.prefix if isinstance(peer.source, Given) else ""
    return prefix + route.model


def environment(launched: Launch, home: Path) -> dict[str, str]:
    """Nothing of whoever measures but the path: no keys, no outgoing proxy, no settings."""
    own = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "TMPDIR": str(home)}
    return own | dict(launched.environment)


def _provider_name(model: str, route: Route) -> str:
    return "canned" if route.first is None else f"first-{TIERS[model]}"


def _failing(site: Site) -> Sequence[tuple[str, str, Route]]:
    """(client's name, base URL, route) of those that have a failing provider before the canned one."""
    return [(model, route.first, route) for model, route in site.routes.items() if route.first is not None]


def _ours(site: Site) -> Launch:
    second = {TIERS[model]: [route.model] for model, route in site.routes.items()}
    providers = [
        _provider(_provider_name(model, route), url, {TIERS[model]: [route.model]}) | {"priority": 1}
        for model, url, route in _failing(site)
    ]
    config = {
        "providers": [*providers, _provider("canned", site.upstream, second) | {"priority": 2}],
        "health_check_interval": 0,
        # A failing provider is asked each time: what an open circuit would save is not to be seen here.
        "circuit_breaker": {
            "failure_threshold": 10_000,
            "minimum_requests": 0,
            "recovery_timeout": NEVER,
            "max_recovery_timeout": NEVER,
            "cooldown_default": 0.001,
            "cooldown_max": 0.001,
        },
        "retry_budget": {"ratio": 10, "min_per_s": 1000},
    }
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Every program is one process: without workers Hypercorn serves in its first.
    hypercorn = ("-m", "hypercorn", "-k", "trio", "-w", "0", "-b", f"127.0.0.1:{site.port}")
    return Launch(
        command=(sys.executable, *hypercorn, "ccproxy_trio:create_app()"),
        environment={"CCPROXY_CONFIG": str(site.home / "providers.json"), "PYTHONPATH": path},
        files={"providers.json": msgspec.json.encode(config)},
    )


def _provider(name: str, url: str, models: Mapping[str, Sequence[str]]) -> dict[str, object]:
    return {"name": name, "api_key": "none", "base_url": url, "models": models}


def _litellm(site: Site) -> Launch:
    """It takes JSON for YAML. Without its own retries and cool-downs each failure costs one fallback."""
    second = {model: _litellm_model(model, site.upstream, route) for model, route in site.routes.items()}
    failing = _failing(site)
    behind = {model: f"{model}-second" for model, _, _ in failing}
    models = [_litellm_model(model, url, route) for model, url, route in failing]
    models += [entry | {"model_name": behind.get(model, model)} for model, entry in second.items()]
    config = {
        "model_list": models,
        "router_settings": {
            "fallbacks": [{model: [name]} for model, name in behind.items()],
            "num_retries": 0,
            "disable_cooldowns": True,
        },
        "litellm_settings": {
            "telemetry": False,
            "num_retries": 0,
            # Without this it would ask in OpenAI's Responses format, which few providers speak.
            "use_chat_completions_url_for_anthropic_messages": True,
        },
    }
    where = ("--host", "127.0.0.1", "--port", str(site.port), "--telemetry", "False")
    return Launch(
        command=(str(binaries(site.folder) / "litellm"), "--config", str(site.home / "config.yaml"), *where),
        environment={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "LITELLM_LOG": "ERROR",
            # It listens on loopback only, and checking keys would cost it time.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
        files={"config.yaml": json.dumps(config).encode()},
    )


def _litellm_model(model: str, url: str, route: Route) -> dict[str, object]:
    asks = {"model": f"openai/{route.model}", "api_base": url, "api_key": "none"}
    return {"model_name": model, "litellm_params": asks}


def _ccr(site: Site) -> Launch:
    models = sorted({route.model for route in site.routes.values()})
    providers = [_ccr_provider("canned", site.upstream, models)]
    for model, url, route in _failing(site):
        providers.append(_ccr_provider(_provider_name(model, route), url, [route.model]))
    config = {
        "HOST": "127.0.0.1",
        "PORT": site.port,
        "LOG": False,
        "NON_INTERACTIVE_MODE": True,
        "Providers": providers,
        "Router": {"default": f"canned,{models[0]}"},
        "fallback": {"default": [f"canned,{models[0]}"]},
    }
    script = modules(site.folder) / "@musistudio" / "claude-code-router" / "dist" / "cli.js"
    return Launch(
        command=("node", str(script), "start"),
        files={".claude-code-router/config.json": msgspec.json.encode(config)},
    )


def _ccr_provider(name: str, url: str, models: Sequence[str]) -> dict[str, object]:
    return {"name": name, "api_base_url": f"{url}/chat/completions", "api_key": "none", "models": models}


def _openai2claude(site: Site) -> Launch:
    return Launch(
        command=(str(binaries(site.folder) / "openai2claude"),),
        environment={
            "OPENAI2CLAUDE_API_KEY": "none",
            "OPENAI2CLAUDE_BACKEND": site.upstream,
            "OPENAI2CLAUDE_HOST": "127.0.0.1",
            "OPENAI2CLAUDE_PORT": str(site.port),
            "OPENAI2CLAUDE_LOG_LEVEL": "WARNING",
        },
    )


def _portkey(site: Site) -> Launch:
    script = modules(site.folder) / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    shim = site.home / "loopback.cjs"
    return Launch(
        command=("node", "--require", str(shim), str(script), f"--port={site.port}", "--headless"),
        environment={"NODE_ENV": "production"},
        files={"loopback.cjs": LOOPBACK_ONLY},
    )


def _given(source: Given, site: Site) -> Launch:
    """Placeholders are replaced word by word, so that any other brace stays what it is."""
    values = {"{port}": str(site.port), "{upstream}": site.upstream}
    return Launch(
        command=tuple(_filled(word, values) for word in source.words),
        environment={
            "OPENAI_BASE_URL": site.upstream,
            "OPENAI_API_KEY": "sk-none",
            "PORT": str(site.port),
            "HOST": "127.0.0.1",
        },
        folder=Path.cwd(),
    )


def _filled(word: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        word = word.replace(placeholder, value)
    return word
