"""How a text is encoded, and its lines decoded: one bad byte never ends a reading."""

from __future__ import annotations

import codecs
import io
import re
from array import array
from collections.abc import Sequence
from pathlib import Path

from mapsto.data.files import reading, unpacked

SAMPLE_BYTES = 1 << 18
FOREIGN = "not utf-8, as the rest of the file is"
_FOREIGN = re.compile("[\udc80-\udcff]")  # bytes that are not utf-8, as Python's surrogateescape keeps them


def is_foreign(text: str) -> bool:
    """Does it hold bytes that are not utf-8, in a file that is (`text_of` marks them)?"""
    return not text.isascii() and _FOREIGN.search(text) is not None


def text_of(
    handle: io.BufferedIOBase, encoding: str, marks: bool = True, newline: str = ""
) -> io.TextIOWrapper:
    """Decoded text, in lines that end as `newline` says (`line_end`); "": in any way. One bad byte never ends
    a reading: in utf-8 it is marked (`is_foreign`), or where nobody looks for marks, and in other encodings,
    read as cp1252."""
    errors = _errors(encoding) if marks else _errors("")
    return io.TextIOWrapper(handle, encoding, errors=errors, newline=newline)  # type: ignore[arg-type]


def line_end(path: Path | str) -> str:
    """What ends the lines of a text: LF, also behind CR; a CR alone only where no LF is in the whole file,
    for within a line it is a character that somebody left there."""
    with reading(path), unpacked(path) as handle:
        blocks = iter(lambda: handle.read(1 << 20), b"")
        return "\n" if any(b"\n" in block for block in blocks) else ""


def decoder_of(encoding: str) -> codecs.IncrementalDecoder:
    """The same for bytes that come piece by piece."""
    return codecs.getincrementaldecoder(encoding)(_errors(encoding))


def _errors(encoding: str) -> str:
    codecs.register_error("mapsto-cp1252", _as_cp1252)
    return "surrogateescape" if encoding in ("utf-8", "utf-8-sig") else "mapsto-cp1252"


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return (
        error.object[error.start : error.end].decode(
            "latin-1" if error.encoding == "charmap" else "cp1252", "replace"
        ),
        error.end,
    )


def find_encoding(path: Path, head: bytes) -> tuple[str, tuple[str, ...]]:
    """By byte order mark; else utf-8 where many of the lines with accents in the first 64 MB are, or nearly
    all lines whatsoever; else cp1252. And what is to be said of a file that is written in both, as files
    joined from several are."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ()
    if head[:400].count(0) > 0.3 * len(head[:400]):
        return ("utf-16-be" if head[0] == 0 else "utf-16-le"), ()  # no mark, but every other byte is zero
    good, bad, lines = _accents(path)
    if not bad:
        return ("utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"), ()
    if not good or (len(good) <= 0.05 * len(bad) and len(bad) > 0.05 * lines):
        some = (
            (f"{_lines(good)} perhaps utf-8, unlike the rest: look whether accents come out right",)
            if good
            else ()
        )
        return "cp1252", some
    name = "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"
    return name, (f"two encodings in one file: {_lines(bad)} {FOREIGN}",)


def said_of_encoding(path: Path) -> str:
    """What is to be said of how a text is encoded; "" where all of it is utf-8."""
    with reading(path), unpacked(path) as handle:
        encoding, told = find_encoding(path, handle.read(SAMPLE_BYTES))
    return ", ".join([*([f"{encoding} text"] if not encoding.startswith("utf-8") else []), *told])


def _accents(path: Path) -> tuple[array, array, int]:
    """Numbers of the lines of the first 64 MB that hold more than ascii: those that are utf-8, and those that
    are not. And how many lines these 64 MB have."""
    good, bad, number, size = array("q"), array("q"), 0, 0
    with reading(path), unpacked(path) as handle:
        rest = b""
        while size < 64 << 20 and (block := handle.read(1 << 20)):
            size += len(block)
            *lines, rest = (rest + block).split(b"\n")
            last = [rest] if rest and not handle.peek(1) else []  # type: ignore[attr-defined]
            for line in lines + last:
                number += 1
                if not line.isascii():
                    (good if _is_utf8(line) else bad).append(number)
    return good, bad, number


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lines(numbers: Sequence[int]) -> str:
    return (
        f"line {numbers[0]} is"
        if len(numbers) == 1
        else f"{len(numbers):,} lines (the first: {numbers[0]}) are"
    )
