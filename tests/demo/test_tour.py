"""What the tour does when it does not go as it should. (How it goes well: tests/cli/test_processes.py.)"""

import io

import pytest
import trio

from ccproxy_trio.demo.screen import Screen
from ccproxy_trio.demo.tour import Tour
from ccproxy_trio.demo.visitor import Heard


class Scripted:
    """A visitor that hears what the test says."""

    def __init__(self, *answers):
        self.answers = iter(answers)

    async def ask(self, body, on_text):
        await trio.lowlevel.checkpoint()
        answer = next(self.answers)
        if isinstance(answer, OSError):
            raise answer
        on_text(answer.text)
        return answer


FINE = Heard(200, "Fine.", None, "end_turn", None)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([Heard(502, error="All providers failed.")], "HTTP 502: All providers failed."),
        ([FINE, Heard(200, "Half an", error="It broke off.")], "HTTP 200: It broke off."),
        ([FINE, FINE, FINE], "a tool call was expected"),
        ([OSError("nobody there")], "nobody there"),
    ],
)
async def test_an_act_that_goes_wrong_ends_the_tour_and_says_why(autojump_clock, answers, told):
    stream = io.StringIO()
    tour = Tour(Scripted(*answers), Screen(stream=stream, environ={}), phoenix_is_up=trio.Event())
    assert not await tour.play()
    assert stream.getvalue().splitlines()[-1] == f"❌ The tour ends here: {told}"


async def test_a_tour_that_hangs_comes_to_an_end(autojump_clock):
    class Hanging:
        async def ask(self, body, on_text):
            await trio.sleep_forever()

    stream = io.StringIO()
    tour = Tour(Hanging(), Screen(stream=stream, environ={}), phoenix_is_up=trio.Event())
    assert not await tour.play()
    assert "❌ The tour ends here: " in stream.getvalue()
    assert trio.current_time() < 100
