"""The text of PDFs, read in child processes and remembered.

Reading a PDF may take long, or for ever on one that was made for it, and Python would do nothing else
meanwhile. So each is read by a process of its own that is killed when its time is up. A session sends the
same PDF with every turn: what was read, or that it cannot be, is remembered, so that every turn's prompt
begins with the same bytes.
"""

import hashlib
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from ccproxy_trio.translate.pdf import PdfText

READ_WITHIN = 20.0  # seconds for one PDF
MOST_PAGES = 200
MOST_CHARACTERS = 300_000
_MEMORY_BYTES = 2**30
_AT_ONCE = 2  # processes
_REMEMBERED_CHARACTERS = 8_000_000
_REMEMBERED = 256
_SCRIPT = Path(__file__).with_name("reading.py")

Read = Callable[[str], Awaitable[PdfText]]


class Texts(Protocol):
    """Whoever can tell the text of PDFs."""

    async def of(self, pdfs: Sequence[str], *, until: float) -> dict[str, PdfText]:
        """By PDF, as base64, what was read out of it; `until` is an instant on Trio's clock. Never raises."""


class PdfTexts:
    """Reads PDFs at most once, and few at a time. `read` takes one, as base64, however long that lasts."""

    def __init__(self, read: Read, *, within: float = READ_WITHIN) -> None:
        self._read = read
        self._within = within
        self._known: OrderedDict[bytes, PdfText] = OrderedDict()
        self._under_way: dict[bytes, trio.Event] = {}
        self._places = trio.CapacityLimiter(_AT_ONCE)

    async def of(self, pdfs: Sequence[str], *, until: float) -> dict[str, PdfText]:
        """See `Texts`. What cannot be read `until` then counts as slow, for this time only."""
        texts = dict.fromkeys(pdfs, PdfText(problem="slow"))
        with trio.CancelScope(deadline=until), suppress(OSError):  # the system has no process to give
            for pdf in texts:
                texts[pdf] = await self._of(pdf)
        return texts

    async def _of(self, pdf: str) -> PdfText:
        digest = hashlib.sha256(pdf.encode()).digest()
        while digest not in self._known:
            if (other := self._under_way.get(digest)) is not None:
                await other.wait()  # whoever reads it may be cancelled: look again
            else:
                await self._learn(digest, pdf)
        self._known.move_to_end(digest)
        return self._known[digest]

    async def _learn(self, digest: bytes, pdf: str) -> None:
        done = self._under_way[digest] = trio.Event()
        try:
            async with self._places:
                self._remember(digest, await self._read_in_time(pdf))
        finally:
            del self._under_way[digest]
            done.set()

    async def _read_in_time(self, pdf: str) -> PdfText:
        with trio.move_on_after(self._within):
            return await self._read(pdf)
        return PdfText(problem="slow")

    def _remember(self, digest: bytes, text: PdfText) -> None:
        self._known[digest] = text
        while len(self._known) > 1 and not self._has_room():
            self._known.popitem(last=False)

    def _has_room(self) -> bool:
        characters = sum(len(page or "") for text in self._known.values() for page in text.texts)
        return len(self._known) <= _REMEMBERED and characters <= _REMEMBERED_CHARACTERS


async def read_in_child(pdf: str) -> PdfText:
    """Read one PDF, as base64, in a process of its own, which is killed if this is cancelled."""
    folder = pypdf_folder()
    if folder is None:
        return PdfText(problem="missing")
    limits = (_MEMORY_BYTES, int(READ_WITHIN) + 5, MOST_PAGES, MOST_CHARACTERS)
    # Isolated: no environment, hence no keys, and nothing is imported from the working directory.
    command = [sys.executable, "-I", "-S", str(_SCRIPT), folder, *map(str, limits)]
    done = await trio.run_process(
        command,
        stdin=pdf.encode(),
        capture_stdout=True,
        stderr=subprocess.DEVNULL,
        check=False,
        env={},
        deliver_cancel=_kill,
    )
    return told(done.stdout)


def told(output: bytes) -> PdfText:
    """What the child said. One that died of its limits said nothing."""
    try:
        return msgspec.json.decode(output, type=PdfText)
    except msgspec.DecodeError:
        return PdfText(problem="broken")


def pypdf_folder() -> str | None:
    """Where pypdf is installed, if it is."""
    spec = find_spec("pypdf")
    if spec is None or spec.origin is None:
        return None
    return str(Path(spec.origin).parents[1])


async def _kill(process: trio.Process) -> None:
    process.send_signal(signal.SIGKILL)
