"""The simulated providers over real sockets, asked with an ordinary HTTP client."""

import itertools

import httpx
import pytest

from ccproxy_trio.demo.providers import MOODY_AGAIN, MOODY_FIRST, Mood, moody_moods
from ccproxy_trio.demo.stage import open_stage

pytestmark = pytest.mark.process

HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}


@pytest.fixture
async def stage():
    async with open_stage(phoenix_down_for=3600, word_every=0) as stage:
        yield stage


def url(stage, name, path="/chat/completions"):
    return f"http://127.0.0.1:{stage.ports[name]}/v1{path}"


async def test_the_steady_one_streams_and_ends_properly(stage):
    async with httpx.AsyncClient() as client:
        answer = await client.post(url(stage, "steady"), json=HELLO)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text.endswith("data: [DONE]\n\n")
    assert answer.text.count('"finish_reason":"stop"') == 1


async def test_it_answers_whole_when_not_asked_to_stream(stage):
    async with httpx.AsyncClient() as client:
        answer = await client.post(url(stage, "steady"), json=HELLO | {"stream": False})
    assert "steady" in answer.json()["choices"][0]["message"]["content"]


async def test_the_moody_one_shows_each_of_its_moods(stage):
    async with httpx.AsyncClient() as client:

        async def mood():
            try:
                answer = await client.post(url(stage, "moody"), json=HELLO)
            except httpx.RemoteProtocolError:
                return "broke off"
            return answer.status_code, answer.headers.get("retry-after")

        seen = [await mood() for _ in MOODY_FIRST]
    assert seen == [(200, None), (500, None), (200, None), (429, "2"), "broke off"]


def test_moods_are_the_same_in_every_run_and_never_end():
    many = list(itertools.islice(moody_moods(), 100))
    assert many == list(itertools.islice(moody_moods(), 100))
    assert many[len(MOODY_FIRST) : len(MOODY_FIRST) + len(MOODY_AGAIN)] == list(MOODY_AGAIN)


def test_two_failures_in_a_row_never_come_again_after_the_tour():
    # Else the moody provider's circuit would open for good, and there would be nothing left to see.
    later = list(itertools.islice(moody_moods(), len(MOODY_FIRST), 100))
    assert all(Mood.FINE in pair for pair in itertools.pairwise(later))


async def test_phoenix_refuses_connections_until_it_rises():
    async with open_stage(phoenix_down_for=0.2, word_every=0) as stage, httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.post(url(stage, "phoenix"), json=HELLO)
        await stage.phoenix_is_up.wait()
        answer = await client.post(url(stage, "phoenix"), json=HELLO)
    assert "phoenix" in answer.text


async def test_health_probes_and_wrong_paths_do_not_use_up_moods(stage):
    async with httpx.AsyncClient() as client:
        assert (await client.get(url(stage, "moody", "/models"))).json()["data"] == []
        assert (await client.get(url(stage, "moody", "/nowhere"))).status_code == 404
        assert (await client.post(url(stage, "moody"), content=b"[]")).status_code == 400
        assert (await client.post(url(stage, "moody"), json=HELLO)).status_code == 200


async def test_the_settings_lead_to_the_cast_with_the_moody_one_first(stage):
    providers = stage.settings().providers
    assert [(each.name, each.priority) for each in providers] == [("moody", 1), ("phoenix", 2), ("steady", 3)]
    assert [each.base_url for each in providers] == [url(stage, each.name, "") for each in providers]
