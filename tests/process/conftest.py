"""A proxy without a living provider, shared by the tests of a module that need none."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.ports import ReservedPort
from tests.support.proxy import Proxy, config_of


@pytest.fixture(scope="module")
def lone_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with ReservedPort() as nowhere:
        entry = {
            "name": "nowhere",
            "api_key": "canary-nowhere-0123456789",
            "base_url": f"http://127.0.0.1:{nowhere.number}/v1",
            "models": {"big": ["big-model"], "middle": ["middle-model"], "small": ["small-model"]},
        }
        proxy = Proxy.start(tmp_path_factory.mktemp("lone"), config_of([entry]))
        try:
            yield proxy
        finally:
            proxy.stop_by(signal.SIGTERM)
