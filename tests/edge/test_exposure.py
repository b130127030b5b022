"""A server's listening sockets are seen before it serves."""

import socket

from ccproxy_trio.edge.exposure import open_doors


def test_a_socket_that_other_machines_reach_is_an_open_door() -> None:
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        port = everywhere.getsockname()[1]
        assert f"0.0.0.0:{port}" not in open_doors()
        everywhere.listen()
        assert f"0.0.0.0:{port}" in open_doors()
    assert f"0.0.0.0:{port}" not in open_doors()


def test_a_socket_on_loopback_and_one_that_is_connected_are_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as local, socket.create_connection(local.getsockname()):
        assert not [door for door in open_doors() if door.endswith(f":{local.getsockname()[1]}")]


def test_a_socket_looked_at_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as local:
        open_doors()
        with socket.create_connection(local.getsockname()):
            accepted, _ = local.accept()
            accepted.close()
