import pytest

from ccproxy_trio.cli.bind import open_listener
from ccproxy_trio.cli.demo import choose_listener
from ccproxy_trio.cli.telling import Refused


def test_a_taken_usual_port_is_replaced_by_a_free_one():
    with open_listener("127.0.0.1", 0, stall_limit=60) as taken:
        usual = taken.getsockname()[1]
        with choose_listener(None, usual=usual) as listener:
            assert listener.getsockname()[1] != usual


def test_a_free_usual_port_is_used():
    with open_listener("127.0.0.1", 0, stall_limit=60) as free:
        usual = free.getsockname()[1]
    with choose_listener(None, usual=usual) as listener:
        assert listener.getsockname()[1] == usual


def test_a_taken_port_that_was_asked_for_is_refused():
    with open_listener("127.0.0.1", 0, stall_limit=60) as taken, pytest.raises(Refused):
        choose_listener(taken.getsockname()[1], usual=0)
