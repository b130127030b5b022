"""Both transports, for every test that says nothing of one alone."""

import pytest

from ccproxy_trio.settings.model import TransportName


@pytest.fixture(params=["trio", "httpx"])
def transport(request: pytest.FixtureRequest) -> TransportName:
    """The name of a transport; the test runs once with each."""
    name: TransportName = request.param
    return name
