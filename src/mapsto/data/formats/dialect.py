"""How a text table is written, found by looking at its beginning: encoding, what stands between cells,
quotes, header, decimals.

Python's csv.Sniffer was tried first and is not used: it guesses from character counts, takes letters for
delimiters, and reads no ragged file. Here each candidate is parsed, and the one that divides most lines into
equally many cells wins.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mapsto.cells import is_missing
from mapsto.data.files import inner_suffix, reading, unpacked
from mapsto.data.formats._header import is_header, is_number
from mapsto.data.formats.encoding import SAMPLE_BYTES, find_encoding, is_foreign, text_of
from mapsto.errors import DataError

SAMPLE_ROWS = 1000
LONGEST_CELL = 1 << 24  # characters; csv's own limit is 131,072
LINE = ""  # delimiter of a file in which every line is one cell
SPACES = " "  # any run of blanks
_ALONE = "\x1f"  # never found in text: a single column that may be quoted
_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_GROUPED_COMMA = re.compile(r"\s*[+-]?\d{1,3}(\.\d{3})+,\d+\s*")
_DOT = re.compile(r"\s*[+-]?\d*\.\d+([eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[+-]?\d{1,3}([.,]\d{3})+\s*")
_WHOLE = re.compile(r"\s*[+-]?(\d{1,3}|[1-9]\d{0,2}(\.\d{3})+)\s*")
_DECLARED = re.compile(r"\ufeff?sep=([,;|\t])\r?\n", re.IGNORECASE)
_SAID = {
    "\t": "tab",
    ",": "','",
    ";": "';'",
    "|": "'|'",
    SPACES: "blanks",
    LINE: "nothing",
    _ALONE: "nothing",
}


@dataclass(frozen=True)
class Dialect:
    """How one text table is written. skip: records before the first row; header: its cells, which where files
    were joined stand again between the rows; grouped: columns with '1.234,5'."""

    encoding: str = "utf-8"
    delimiter: str = ","
    quoted: bool = True
    names: tuple[str, ...] = ()
    skip: int = 0
    has_header: bool = True
    header: tuple[str, ...] = ()
    decimal_comma: bool = False
    grouped: frozenset[int] = frozenset()
    drop_nul: bool = False
    said: tuple[str, ...] = ()


class Lines:
    """Decoded lines of a file, counted. number: of the last line given; characters, quotes: given so far;
    nul: the last record held a NUL; foreign: bytes that are not utf-8; ended: a line was asked for and there
    is none."""

    def __init__(self, text: Iterable[str], drop_nul: bool = False) -> None:
        self.text, self.drop_nul = text, drop_nul
        self.number = self.characters = self.quotes = 0
        self.nul = self.foreign = self.ended = False

    def __iter__(self) -> Iterator[str]:
        for line in self.text:
            self.number += 1
            self.characters += len(line)
            self.quotes += line.count('"')
            self.foreign = self.foreign or is_foreign(line)
            if "\0" in line:
                self.nul = not self.drop_nul
                line = line.replace("\0", "")
            yield line
        self.ended = True


def records(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """Lines -> rows of cells; an empty line is []. Raises csv.Error on a cell longer than LONGEST_CELL, and
    may be continued."""
    if dialect.delimiter == LINE:
        return ([text] if (text := line.rstrip("\r\n")).strip() else [] for line in lines)
    if dialect.delimiter == SPACES:
        return (line.split() for line in lines)
    csv.field_size_limit(LONGEST_CELL)
    quoting = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
    return csv.reader(iter(lines), delimiter=dialect.delimiter, quoting=quoting, skipinitialspace=True)


def find_dialect(path: Path, known: Sequence[str] = (), asked: Sequence[str] = ()) -> Dialect:
    """Look at the file's beginning. known: names of the columns, if another file of the same table gave them;
    asked: some that a person has named. DataError: no rows."""
    with reading(path), unpacked(path) as handle:
        data = handle.read(SAMPLE_BYTES)
        while data.count(b"\n") < 20 and len(data) < 1 << 25 and (more := handle.read(SAMPLE_BYTES)):
            data += more  # very wide rows
        whole = not handle.read(1)
    if not data.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise DataError(f"{path}: expected rows, the file is empty.\nGive one with rows.")
    encoding, told = find_encoding(path, data)
    text = text_of(io.BytesIO(data), encoding, marks=False).read()
    if not whole and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    dirty = text.count("\0") > 0.05 * (text.count("\n") + 1)
    layout = _find_layout(text.replace("\0", ""), inner_suffix(path.name))
    rows = [row for row, _ in _sample(text.replace("\0", ""), layout)]
    if not whole and len(rows) > 2 and len(rows) < SAMPLE_ROWS:
        rows = rows[:-1]  # the last one may be cut within quotes
    found = _with_header(replace(layout, encoding=encoding, drop_nul=dirty), rows, known, path, asked)
    found = _with_decimals(found, [row for row in rows[found.skip :] if row])
    return replace(found, said=(*found.said, *told))


def _sample(text: str, dialect: Dialect) -> list[tuple[list[str], int]]:
    """Up to SAMPLE_ROWS records with the number of lines each takes."""
    lines, found, before = Lines(io.StringIO(text, newline="")), [], 0
    rows = records(lines, dialect)
    while len(found) < SAMPLE_ROWS:
        try:
            row = next(rows, None)
        except csv.Error:
            row = []
        if row is None:
            break
        found.append((row, lines.number - before))
        before = lines.number
    return found


@dataclass(frozen=True)
class _Layout:
    """How well a candidate divides the sample. width: cells in most rows; share: of lines in rows of that
    width; first: cells in the first row."""

    dialect: Dialect
    width: int
    share: float
    first: int


def _try(text: str, delimiter: str, quoted: bool) -> _Layout:
    dialect = Dialect(delimiter=delimiter, quoted=quoted)
    rows = [(row, lines) for row, lines in _sample(text, dialect) if row]
    widths = Counter()
    for row, lines in rows[1:] or rows:
        widths[len(row)] += lines
    width, lines = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    return _Layout(dialect, width, lines / max(1, widths.total()), len(rows[0][0]) if rows else 0)


def _find_layout(text: str, suffix: str) -> Dialect:
    declared = _DECLARED.match(text)
    if declared:
        return _try(text, declared[1], True).dialect
    tried = []
    for delimiter in "\t;|,":
        if delimiter not in text:
            continue
        best = _try(text, delimiter, True)
        if '"' in text:
            plain = _try(text, delimiter, False)
            best = plain if plain.share > best.share + 0.005 and plain.width > 1 else best
        least = 0.9 if suffix in (".txt", ".text") else 0.5  # prose has commas too
        if best.width > 1 and best.share >= least:
            tried.append(best)
    clean = [each for each in tried if each.first == each.width]
    odd = [
        each for each in tried if each.share >= 0.7 and (each.width > 2 or text.startswith("#"))
    ]  # a title above, or names of rows as R writes
    spaces = _spaced(text)
    for group in (clean, [spaces] if spaces else [], odd):
        if group:
            top = max(each.share for each in group)
            return next(each for each in group if each.share >= top - 0.05).dialect
    return Dialect(delimiter=LINE if suffix in (".txt", ".text", "") else _ALONE)


def _spaced(text: str) -> _Layout | None:
    """Columns divided by blanks: only when every line has equally many and at least half of the cells are
    numbers."""
    if '"' in text:
        return None
    rows = [line.split() for line in text.splitlines()[:SAMPLE_ROWS] if line.strip()]
    body = rows[1:] or rows
    cells = [cell for row in body for cell in row]
    if (
        not rows
        or len({len(row) for row in rows}) > 1
        or len(rows[0]) < 2
        or sum(map(is_number, cells)) < len(cells) / 2
    ):
        return None
    return _Layout(Dialect(delimiter=SPACES), len(rows[0]), 1.0, len(rows[0]))


def _with_header(
    dialect: Dialect, rows: list[list[str]], known: Sequence[str], path: Path, asked: Sequence[str]
) -> Dialect:
    full = [(index, row) for index, row in enumerate(rows) if row]
    width = Counter(len(row) for _, row in full[1:] or full).most_common(1)[0][0]
    said = []
    skipped = 0
    if full[0][1][0].lower() == "sep=" or (full[0][1][0].lower().startswith("sep=") and len(full[0][1]) == 1):
        skipped = 1  # Excel's 'sep=;'
    while width > 1 and skipped < min(20, len(full) - 2) and _is_above(full[skipped][1], width):
        skipped += 1
    if skipped:
        said.append(f"{skipped} line(s) above the table left out")
    first, row = full[skipped]
    body = [other for _, other in full[skipped + 1 :] if len(other) == width]
    header = dialect.delimiter != LINE and is_header(row, body, known, asked)
    raw = tuple(row) if header and width > 1 and dialect.delimiter != SPACES else ()
    if header:
        if len(full) == skipped + 1 and len(rows) < SAMPLE_ROWS:
            raise DataError(
                f"{path.name}: expected rows below the header, there are none ({path})."
                "\nGive a file with rows."
            )
        if len(row) == width - 1 and any(other[-1] for other in body):
            row, said = ["row", *row], [*said, "the first column has no name (as R writes it): 'row'"]
        names, renamed = clean_names(row)
        said += renamed
    else:
        names = (
            tuple(known)
            if len(known) == len(row)
            else tuple(f"column_{i + 1}" for i in range(max(width, len(row)) if not body else width))
        )
        said.append(f"no header: {_given_names(names, known)}")
    return replace(
        dialect,
        names=names,
        has_header=header,
        header=raw,
        skip=first + 1 if header else first,
        said=tuple(said),
    )


def _is_above(row: list[str], width: int) -> bool:
    """Is it a title, or a comment, above a table?"""
    return len(row) == 1 or (len(row) != width and row[0].startswith("#"))


def clean_names(cells: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Column names, none empty and none twice, and a sentence on each that was changed."""
    names: list[str] = []
    taken = {" ".join(str(cell).split()) for cell in cells}
    seen: set[str] = set()
    said = []
    for index, cell in enumerate(cells):
        plain = name = " ".join(str(cell).split()) or f"column_{index + 1}"
        number = 2
        while name in seen or (name != plain and name in taken):
            name, number = f"{plain}_{number}", number + 1
        if name != " ".join(str(cell).split()):
            said.append(
                f"column {index + 1} {'had no name' if not str(cell).strip() else f'is a second {plain!r}'}:"
                f" now {name!r}"
            )
        seen.add(name)
        names.append(name)
    return tuple(names), (
        said
        if len(said) <= 3
        else [
            *said[:2],
            f"… and {len(said) - 2} more columns renamed",
        ]
    )


def _with_decimals(dialect: Dialect, rows: list[list[str]]) -> Dialect:
    """A file writes decimal commas if some column does throughout and none writes decimal points."""
    commas, grouped, dots, thousands_only = False, set(), False, dialect.delimiter == ","
    for index in range(len(dialect.names)):
        column = [row[index] for row in rows if index < len(row) and not is_missing(row[index])]
        with_comma = [cell for cell in column if "," in cell]
        if with_comma and all(
            _COMMA.fullmatch(cell) or _GROUPED_COMMA.fullmatch(cell) or is_number(cell) for cell in column
        ):
            commas = (
                commas or not thousands_only or not all(_THOUSANDS.fullmatch(cell) for cell in with_comma)
            )
            if any(_GROUPED_COMMA.fullmatch(cell) for cell in with_comma):
                grouped.add(index)
        elif any("." in cell for cell in column) and all(_WHOLE.fullmatch(cell) for cell in column):
            grouped.add(index)  # '1.075' beside '567': whole numbers, where the file writes decimal commas
        elif any(_DOT.fullmatch(cell) and not _THOUSANDS.fullmatch(cell) for cell in column):
            dots = True
    commas = commas and not dots
    words = (
        [dialect.encoding, f"{_SAID[dialect.delimiter]} between cells"]
        + ["decimal comma"] * commas
        + ["NUL bytes removed"] * dialect.drop_nul
    )
    return replace(
        dialect,
        decimal_comma=commas,
        grouped=frozenset(grouped if commas else ()),
        said=(", ".join(words), *dialect.said),
    )


def _given_names(names: Sequence[str], known: Sequence[str]) -> str:
    """How columns without a header are called, for the line that says so."""
    if tuple(names) == tuple(known):
        return "named as in the other file"
    return "column_1…" if len(names) > 1 else "column_1"
