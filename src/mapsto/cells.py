"""What a source hands to a room: raw cells, columns of them, and files not yet read. No torch here."""

from __future__ import annotations

import errno
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property
from pathlib import PurePath
from typing import Any

from mapsto.errors import CellError

# Words that mean "nothing here" in the tables people have, lower case. '?' is UCI's, '-' and 'n/a'
# spreadsheets'.
MISSING_WORDS = frozenset(
    {
        "",
        "na",
        "n/a",
        "nan",
        "null",
        "none",
        "?",
        "-",
        "--",
        ".",
        "#n/a",
        "#na",
        "<na>",
        "nil",
        "missing",
        "(null)",
        "#div/0!",
        "#ref!",
        "#value!",
        "#num!",
        "#name?",
        "#null!",
    }
)


FORMULA_MARKS = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "＝",
    "＋",
    "－",
    "＠",
)  # OWASP's list, with the full-width letters that Excel takes for them
_HALF = re.compile("[\ud800-\udfff]")  # of a character beyond U+FFFF, in UTF-16
_NUMERAL = re.compile(r"[-+]?(\d[\d.,]*|\.\d+)([eE][-+]?\d+)?\s?%?")


@dataclass(frozen=True)
class Blob:
    """A file's bytes, read when asked for. `name` is what a person would call it; `within` the folder that it
    must lie in, links followed; None where it may lie anywhere."""

    path: str
    name: str
    within: str | None = None

    def read(self) -> bytes:
        """The bytes. Raises OSError as the system does, and where it lies elsewhere than it must."""
        if self.within is not None and leads_out(self.path, self.within):
            raise OSError(errno.EACCES, f"outside {self.within}; to read it all the same: --follow-links")
        mode = os.stat(self.path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(errno.EINVAL, "a pipe or a device, no file")
        with open(self.path, "rb") as file:
            return file.read()

    def __str__(self) -> str:
        return self.name


def leads_out(path: str, folder: str) -> bool:
    """Is what a path names, all links followed, elsewhere than below a folder?"""
    real, above = os.path.realpath(path), os.path.realpath(folder)
    return real != above and not real.startswith(os.path.join(above, ""))


class Continued(str):
    """A piece of a long text that goes on from the cell before: no document begins here."""


class Apart(str):
    """A text whose words came as a list: they stay as they are. Their text, with a blank between each two."""

    words: tuple[str, ...]

    def __new__(cls, words: Sequence[str]) -> Apart:
        self = super().__new__(cls, " ".join(words))
        self.words = tuple(words)
        return self


class Pointed(str):
    """A numeral of a file with decimal commas, a point in their place; as it stands there it may be read in
    another way."""

    written: str

    def __new__(cls, text: str, written: str) -> Pointed:
        self = super().__new__(cls, text)
        self.written = written
        return self


@dataclass(frozen=True)
class Annotated:
    """A cell of an output that says something of places in an input of its row, and that input's cell."""

    cell: Any
    source: Any


@dataclass(frozen=True)
class Column:
    """A column as a room sees it when asked "is this yours?": its name, a sample of raw cells, and the
    side of the arrow on which it stands. untyped: it comes from a file that knows nothing but text."""

    name: str
    cells: Sequence[Any]
    side: str = "input"
    untyped: bool = False

    @cached_property
    def known(self) -> list[Any]:
        """The cells that are not missing."""
        if all(type(cell) is str for cell in self.cells):  # of which few differ, or few are missing
            missing = {cell for cell in set(self.cells) if is_missing(cell)}
            return [cell for cell in self.cells if cell not in missing] if missing else list(self.cells)
        return [cell for cell in self.cells if not is_missing(cell)]


def is_missing(cell: Any) -> bool:
    """True for None, NaN, NaT and the words people write for nothing."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING_WORDS
    if isinstance(cell, float):
        return math.isnan(cell)
    return type(cell).__name__ in ("NaTType", "NAType") or (
        type(cell).__name__ == "datetime64" and str(cell) == "NaT"
    )


def decoded(cell: bytes | Blob) -> str:
    """A cell's or file's bytes as text. CellError: no such file, no utf-8."""
    name = "the cell" if isinstance(cell, bytes) else cell.name
    try:
        return (cell if isinstance(cell, bytes) else cell.read()).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise CellError(
            f"{name}: expected utf-8 text, byte {problem.start} is none.\nSave it as utf-8."
        ) from None
    except OSError as problem:
        raise CellError(
            f"{name}: cannot be opened ({problem.strerror}).\nPut the file there, or leave the row out."
        ) from None


def bytes_of(cell: Any, what: str, ways: str) -> tuple[str, bytes]:
    """(its name, its bytes) of a cell that is a file: one opened, a path, or bytes. what: "a picture"; ways:
    what else may be given. CellError: it is no file, or cannot be opened."""
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return f"{len(cell):,} bytes", bytes(cell)
    if not isinstance(cell, (Blob, str, PurePath)):
        raise CellError(f"expected {what}, got {type(cell).__name__} {shorten(cell)}.\nGive {ways}.")
    blob = cell if isinstance(cell, Blob) else Blob(str(cell), str(cell))
    try:
        return blob.name, blob.read()
    except (OSError, ValueError) as problem:  # ValueError: a NUL byte in the name
        said = getattr(problem, "strerror", None) or problem
        raise CellError(f"{blob.name}: cannot be opened ({said}).\nCheck the path.") from problem


def sound(text: str) -> str:
    """Text that can be written: halves of characters, as cutting through an emoji leaves them in JSON, become
    U+FFFD, and two that belong together one character."""
    return (
        text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if _HALF.search(text)
        else text
    )


def shorten(cell: Any, most: int = 40) -> str:
    """A cell as it may stand in a message: quoted, on one line, cut to `most` characters."""
    text = " ".join(sound(str(cell)).split()) if not isinstance(cell, bytes) else f"{len(cell)} bytes"
    return f"'{text[:most]}…'" if len(text) > most else f"'{text}'"


def plain(cell: Any) -> Any:
    """A cell as JSON has it; text for what JSON does not know."""
    if cell is None or type(cell) in (str, int, bool):  # most are
        return cell
    import numpy as np

    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, Blob):
        return cell.path
    if isinstance(cell, (datetime, date, time)):
        return cell.isoformat()
    if isinstance(cell, Mapping):
        return {str(name): plain(value) for name, value in cell.items()}
    if isinstance(cell, (list, tuple, set, frozenset, np.ndarray)):
        return [plain(value) for value in (cell.tolist() if isinstance(cell, np.ndarray) else cell)]
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell if cell is None or isinstance(cell, (str, int, float, bool)) else str(cell)


def for_spreadsheet(cell: Any) -> Any:
    """Spreadsheets run cells that begin like formulas; a quote in front keeps them text. Numerals, negative
    ones too, stay as they are."""
    formula = (
        isinstance(cell, str) and len(cell) > 1 and cell[0] in FORMULA_MARKS and not _NUMERAL.fullmatch(cell)
    )
    return f"'{cell}" if formula else cell
