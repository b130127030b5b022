import socket

import pytest

from ccproxy_trio.cli.bind import guard_bind, open_listener
from ccproxy_trio.cli.telling import Refused
from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, Settings

PROVIDER = ProviderSettings(name="p", api_key=Secret("k"), base_url="https://x/v1", models=Models(big=("m",)))
OPEN = Settings(providers=(PROVIDER,))
GUARDED = Settings(providers=(PROVIDER,), client_api_keys=(Secret("client"),))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST."])
def test_this_machine_alone_needs_no_client_key(host):
    guard_bind(host, OPEN)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "0", "192.168.1.7", "example.com", "localhost.example.com"]
)
def test_an_address_others_reach_needs_a_client_key(host):
    with pytest.raises(Refused, match="client_api_keys") as refusal:
        guard_bind(host, OPEN)
    assert refusal.value.exit_code == 2
    guard_bind(host, GUARDED)


def test_a_free_port_is_listened_on_at_once():
    with open_listener("127.0.0.1", 0, stall_limit=60) as listener:
        socket.create_connection(listener.getsockname()).close()


def test_a_stalled_reader_is_dropped_by_the_kernel_after_the_stall_limit():
    with open_listener("127.0.0.1", 0, stall_limit=60) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with client, accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 65_000
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_taken_port_is_told_as_such():
    with open_listener("127.0.0.1", 0, stall_limit=60) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"Port {port} on 127.0.0.1 is taken"):
            open_listener("127.0.0.1", port, stall_limit=60)


def test_a_foreign_address_is_told_as_such():
    with pytest.raises(Refused, match=r"192\.0\.2\.1 is no address of this machine"):
        open_listener("192.0.2.1", 0, stall_limit=60)


def test_a_host_that_is_none_is_told_as_such():
    with pytest.raises(Refused, match="Cannot listen on no such host:1"):
        open_listener("no such host", 1, stall_limit=60)


def test_a_forbidden_port_is_told_as_such(monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", forbidden)  # root may bind anything
    with pytest.raises(Refused, match="No permission to listen on port 80"):
        open_listener("127.0.0.1", 80, stall_limit=60)
