import errno
import io
import os

import pytest

from ccproxy_trio.logs.outlet import BACKLOG_LINES, LONGEST_LINE, Outlet


class Pipe:
    """A pipe of which the writing end is a text stream."""

    def __init__(self):
        self.read_end, write_end = os.pipe()
        self.stream = os.fdopen(write_end, "w", encoding="utf-8")

    def read(self):
        return os.read(self.read_end, 2**20).decode()

    def fill(self):
        """Write until it takes no more; returns how many characters lie in it."""
        os.set_blocking(self.stream.fileno(), False)
        filled = 0
        try:
            while True:
                filled += os.write(self.stream.fileno(), b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(self.stream.fileno(), True)
        return filled


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.stream.close()
    os.close(pipe.read_end)


def test_lines_come_out_whole_and_in_order(pipe):
    outlet = Outlet(pipe.stream)
    outlet.write("one")
    outlet.write("two ✅")
    assert pipe.read() == "one\ntwo ✅\n"


def test_a_full_pipe_does_not_hold_up_the_writer_and_the_lines_follow(pipe):
    outlet = Outlet(pipe.stream, patience_ms=0)
    filled = pipe.fill()
    outlet.write("kept")
    assert pipe.read() == "x" * filled
    outlet.write("next")
    assert pipe.read() == "kept\nnext\n"


def test_what_a_long_jam_cost_is_said_once(pipe):
    outlet = Outlet(pipe.stream, patience_ms=0)
    pipe.fill()
    for number in range(BACKLOG_LINES + 7):
        outlet.write(f"{number}")
    pipe.read()
    outlet.write("dropped as well: the backlog is full until something gets out")
    lines = pipe.read().splitlines()
    assert lines[:BACKLOG_LINES] == [str(number) for number in range(BACKLOG_LINES)]
    assert lines[BACKLOG_LINES:] == ["⚠️  8 lines are missing here: nobody was reading"]
    outlet.write("after")
    assert pipe.read() == "after\n"


def test_a_reader_that_left_is_given_up_without_an_error(pipe):
    outlet = Outlet(pipe.stream)
    os.close(pipe.read_end)
    pipe.read_end = os.open(os.devnull, os.O_RDONLY)
    outlet.write("to nobody")
    outlet.write("to nobody")
    pipe.stream.close()  # flushes what is buffered: an exit with 120 if it still went to the broken pipe


def test_a_closed_stream_is_given_up_without_an_error():
    stream = io.StringIO()
    outlet = Outlet(stream)
    stream.close()
    outlet.write("to nobody")
    Outlet(stream).write("to nobody")


class FullDisk(io.StringIO):
    """A stream that takes nothing until there is room."""

    error: OSError | None = OSError(errno.ENOSPC, "No space left on device")

    def write(self, text):
        if self.error:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), BlockingIOError()])
def test_a_passing_error_costs_only_the_lines_of_its_time(error):
    stream = FullDisk()
    stream.error = error
    outlet = Outlet(stream)
    outlet.write("lost")
    stream.error = None
    outlet.write("here")
    assert stream.getvalue() == "here\n⚠️  1 lines are missing here: nobody was reading\n"


def test_a_line_too_long_for_one_write_is_cut(pipe):
    Outlet(pipe.stream).write("é" * LONGEST_LINE)
    assert pipe.read() == "é" * (LONGEST_LINE // 2) + "\n"


def test_an_ascii_terminal_gets_question_marks_instead_of_an_error():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Outlet(stream).write("✅ done")
    assert raw.getvalue() == b"? done\n"
