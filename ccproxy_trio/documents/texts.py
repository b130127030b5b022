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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.pdf import NO_TEXTS, PdfText, pdfs
from ccproxy_trio.wire.anthropic import MessagesRequest

ONE_PDF_WITHIN = 20.0  # seconds
ALL_PDFS_WITHIN = 60.0  # seconds for those of one request together
DIGEST_INLINE = 250_000  # characters; a millisecond
MOST_PAGES = 200
MOST_CHARACTERS = 300_000
_MEMORY_BYTES = 2**30
_AT_ONCE = 2  # processes
REMEMBERED_CHARACTERS = 8_000_000
REMEMBERED = 256
_SCRIPT = Path(__file__).with_name("reading.py")

Read = Callable[[str], Awaitable[PdfText]]


class Texts(Protocol):
    """Whoever can tell the text of PDFs."""

    async def of(self, pdfs: Sequence[str], *, until: float) -> dict[str, PdfText]:
        """By PDF, as base64, what was read out of it; `until` is an instant on Trio's clock. Never raises."""


class NoReader:
    """Has nothing to read PDFs with, and does not look at them."""

    async def of(self, pdfs: Sequence[str], *, until: float) -> dict[str, PdfText]:
        """See `Texts`."""
        return dict.fromkeys(pdfs, PdfText(problem="missing"))


class PdfTexts:
    """Reads PDFs at most once, and few at a time. `read` takes one, as base64, however long that lasts.

    One may take `within` seconds. The texts of `remembered` PDFs are kept, or of fewer if they have more than
    `characters` together.
    """

    def __init__(
        self,
        read: Read,
        *,
        within: float = ONE_PDF_WITHIN,
        remembered: int = REMEMBERED,
        characters: int = REMEMBERED_CHARACTERS,
    ) -> None:
        self._read = read
        self._within = within
        self._most = remembered
        self._most_characters = characters
        self._characters = 0  # of all that is known
        self._known: OrderedDict[bytes, PdfText] = OrderedDict()
        self._under_way: dict[bytes, trio.Event] = {}
        self._places = trio.CapacityLimiter(_AT_ONCE)
        self._threads = trio.CapacityLimiter(_AT_ONCE)

    async def of(self, pdfs: Sequence[str], *, until: float) -> dict[str, PdfText]:
        """See `Texts`. What cannot be read `until` then counts as slow, for this time only."""
        texts = dict.fromkeys(pdfs, PdfText(problem="slow"))
        with trio.CancelScope(deadline=until), suppress(OSError):  # the system has no process to give
            for pdf in texts:
                texts[pdf] = await self._of(pdf)
        return texts

    async def _of(self, pdf: str) -> PdfText:
        digest = await self._digest(pdf)
        while digest not in self._known:
            if (other := self._under_way.get(digest)) is not None:
                await other.wait()  # whoever reads it may be cancelled: look again
            else:
                await self._learn(digest, pdf)
        self._known.move_to_end(digest)
        return self._known[digest]

    async def _digest(self, pdf: str) -> bytes:
        # A tenth of a second for the largest, in which nobody else's answer would go on.
        if len(pdf) <= DIGEST_INLINE:
            return _digest(pdf)
        work = partial(_digest, pdf)
        return await trio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)

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
        self._characters += _length(text)
        while len(self._known) > 1 and not self._has_room():
            _, forgotten = self._known.popitem(last=False)
            self._characters -= _length(forgotten)

    def _has_room(self) -> bool:
        return len(self._known) <= self._most and self._characters <= self._most_characters


class Enclosed:
    """The PDFs of one request. `until` is the instant on Trio's clock at which the request's time is up."""

    def __init__(self, request: Callable[[], MessagesRequest], documents: Texts, *, until: float) -> None:
        self._request = request
        self._documents = documents
        self._until = until
        self._texts: Mapping[str, PdfText] | None = None

    async def texts(self, dialect: Dialect) -> Mapping[str, PdfText]:
        """What they say, for a model that cannot read them itself; every such model gets the same.

        To be asked for before there is a lease: no provider is to blame for the time that it takes.
        """
        if dialect.files:
            return NO_TEXTS
        if self._texts is None:
            self._texts = await self._told()
        return self._texts

    async def _told(self) -> Mapping[str, PdfText]:
        wanted = pdfs(self._request())
        until = min(trio.current_time() + ALL_PDFS_WITHIN, self._until)
        return await self._documents.of(wanted, until=until) if wanted else NO_TEXTS


def installed_reader() -> Texts:
    """Who reads PDFs in this installation. Looks into files: to be called once, at the start."""
    library = _pypdf_folder()
    return NoReader() if library is None else PdfTexts(partial(read_in_child, library=library))


async def read_in_child(pdf: str, *, library: str) -> PdfText:
    """Read one PDF, as base64, in a process of its own, which is killed if this is cancelled.

    `library` is the folder that pypdf is in.
    """
    limits = (_MEMORY_BYTES, int(ONE_PDF_WITHIN) + 5, MOST_PAGES, MOST_CHARACTERS)
    # Isolated: no environment, hence no keys, and nothing is imported from the working directory.
    command = [sys.executable, "-I", "-S", str(_SCRIPT), library, *map(str, limits)]
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


def _digest(pdf: str) -> bytes:
    return hashlib.sha256(pdf.encode()).digest()


def _length(text: PdfText) -> int:
    return sum(len(page or "") for page in text.texts)


def _pypdf_folder() -> str | None:
    spec = find_spec("pypdf")
    if spec is None or spec.origin is None:
        return None
    return str(Path(spec.origin).parents[1])


async def _kill(process: trio.Process) -> None:
    process.send_signal(signal.SIGKILL)
