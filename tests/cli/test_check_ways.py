"""`check` and the ways to a provider: shown without a password, and taken by `--probe`."""

import json
import ssl

import pytest
import trio
import trustme
from click.testing import CliRunner

from ccproxy_trio.cli.check import check
from tests.support.outgoing import outgoing_proxy

PASSWORD = "pw-canary-88c1"
ENTRY = {"name": "far", "api_key": "k", "models": {"big": ["m"]}}


def run(file, *arguments):
    return CliRunner().invoke(check, ["--config", str(file), *arguments], env={"NO_COLOR": "1", "HOST": None})


@pytest.fixture
def bundle(tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "corp.pem")
    return ca


def written(tmp_path, **keys):
    file = tmp_path / "providers.json"
    file.write_text(json.dumps({"providers": [ENTRY | keys]}))
    file.chmod(0o600)
    return file


def test_the_way_is_shown_without_its_password(tmp_path, bundle):
    file = written(
        tmp_path,
        base_url="https://api.example.com/v1",
        proxy=f"http://me:{PASSWORD}@proxy.example:3128",
        ca_bundle="corp.pem",
    )
    ended = run(file)
    assert ended.exit_code == 0, ended.output
    assert "   transport: httpx\n   proxy: http://***@proxy.example:3128\n" in ended.stdout
    assert f"   ca_bundle: {tmp_path / 'corp.pem'}, beside the system's\n" in ended.stdout
    assert PASSWORD not in ended.output


async def test_a_probe_takes_it(tmp_path, bundle):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    bundle.issue_cert("127.0.0.1").configure_cert(context)

    async def provider(stream):
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with trio.open_nursery() as nursery, outgoing_proxy(login=f"me:{PASSWORD}") as proxy:
        listeners = await nursery.start(trio.serve_ssl_over_tcp, provider, 0, context)
        port = listeners[0].transport_listener.socket.getsockname()[1]
        file = written(
            tmp_path,
            base_url=f"https://127.0.0.1:{port}/v1",
            proxy=f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}",
            ca_bundle="corp.pem",
        )
        ended = await trio.to_thread.run_sync(run, file, "--probe")
        nursery.cancel_scope.cancel()
    assert ended.exit_code == 0, ended.output
    assert "healthy (HTTP 200" in ended.stdout
    assert proxy.asked == [f"CONNECT 127.0.0.1:{port}"]
    assert PASSWORD not in ended.output
