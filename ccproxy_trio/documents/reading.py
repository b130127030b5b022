"""The child process that reads a PDF: base64 on its standard input, a `PdfText` in JSON on the output.

It is started by path and imports nothing of this package, so it is up in a tenth of a second. Its arguments
are the folder that pypdf is in, and the most bytes of memory, seconds of processor time, pages and
characters.
"""

import base64
import io
import json
import sys
import zlib
from collections.abc import Iterator
from typing import Any

# What pypdf lets through on damaged pages, beside errors of its own.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zlib.error,
)


def limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Bound what this process may use, where the system can."""
    try:
        import resource
    except ImportError:
        return
    wanted = {"RLIMIT_AS": memory_bytes, "RLIMIT_CPU": cpu_seconds, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0}
    for name, most in wanted.items():
        try:
            resource.setrlimit(getattr(resource, name), (most, most))
        except (AttributeError, OSError, ValueError):
            continue  # macOS does not bound memory


def read(data: bytes, *, most_pages: int, most_characters: int) -> dict[str, Any]:
    """A `PdfText` as plain data."""
    import pypdf
    from pypdf.errors import PyPdfError

    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        # Many PDFs are encrypted with no password at all, only to forbid printing.
        if reader.is_encrypted and not reader.decrypt(""):
            return {"problem": "encrypted"}
        pages = len(reader.pages)
    except pypdf.errors.DependencyError:
        return {"problem": "encrypted"}
    except (PyPdfError, *_DAMAGE):
        return {"problem": "broken"}
    texts, is_cut = [], False
    for text in _texts(reader, min(pages, most_pages)):
        is_cut = len(text or "") > most_characters
        texts.append(text and text[:most_characters])
        most_characters -= len(text or "")
        if most_characters <= 0:
            break
    return {"pages": pages, "texts": texts, "is_cut": is_cut}


def _texts(reader: Any, pages: int) -> Iterator[str | None]:
    from pypdf.errors import PyPdfError

    for number in range(pages):
        try:
            yield _clean(reader.pages[number].extract_text())
        except (PyPdfError, *_DAMAGE):
            yield None


def _clean(text: str) -> str:
    """Lines without anything that cannot be printed, nor white space at their ends."""
    lines = ("".join(letter if letter.isprintable() else " " for letter in line) for line in text.split("\n"))
    return "\n".join(line.rstrip() for line in lines).strip()


def main(arguments: list[str]) -> None:
    """Read one PDF."""
    folder, memory, cpu, pages, characters = arguments
    sys.path.append(folder)
    limit(int(memory), int(cpu))
    try:
        data = base64.b64decode(sys.stdin.buffer.read())
    except ValueError:
        data = b""
    json.dump(read(data, most_pages=int(pages), most_characters=int(characters)), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
