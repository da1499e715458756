"""Tables in text files: csv, tsv, txt, and the same packed by gzip. Streamed; a line that does not fit is
named and passed over."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mapsto.cells import Pointed
from mapsto.data.files import entry_of, fingerprint_of, reading, stem, unpacked_lines
from mapsto.data.formats.dialect import Dialect, Lines, records
from mapsto.data.formats.encoding import FOREIGN, text_of
from mapsto.errors import DataError
from mapsto.source import BadRow, Chunk, Source

CHUNK_CELLS, CHUNK_CHARACTERS = 1_000_000, 1 << 25  # a chunk stays below these, however wide the table
LONGEST_HEADER = 1 << 24  # bytes
_DECIMAL = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")  # thousands, or three decimals
_GROUPED = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?")


@dataclass
class DelimitedSource(Source):
    """A text table. Cells are text; '1,5' becomes '1.5' where the file writes decimal commas."""

    path: str = ""
    dialect: Dialect = field(default_factory=Dialect)

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        most = max(1, min(size, CHUNK_CELLS // len(self.columns)))
        with reading(self.path), unpacked_lines(self.path) as handle:
            lines = Lines(text_of(handle, self.dialect.encoding), self.dialect.drop_nul)  # type: ignore[arg-type]
            rows: list[list[str]] = []
            where: list[str] = []
            bad: list[BadRow] = []
            begun = 0
            for place, row in self._rows(lines):
                if isinstance(row, BadRow):
                    bad.append(row)
                else:
                    rows.append(row)
                    where.append(place)
                if len(rows) >= most or len(bad) >= most or lines.characters - begun > CHUNK_CHARACTERS:
                    yield self._chunk(rows, where, bad)
                    rows, where, bad, begun = [], [], [], lines.characters
            if rows or bad:
                yield self._chunk(rows, where, bad)

    def _rows(self, lines: Lines) -> Iterator[tuple[str, list[str] | BadRow]]:
        """(place, cells) of every row below the header; a BadRow where the cells are not as many as the
        columns."""
        found, width, skip = records(lines, self.dialect), len(self.columns), self.dialect.skip
        header = self.dialect.header
        while True:
            begun, quotes = lines.number + 1, lines.quotes
            try:
                row = next(found, None)
            except csv.Error:
                yield from _bad(
                    begun,
                    lines.number,
                    "a quote that is never closed, or a cell of more than 16 million characters",
                )
                continue
            if row is None:
                return
            if skip:
                skip -= 1
                lines.nul = lines.foreign = False
            elif lines.foreign:
                lines.foreign = lines.nul = False
                yield from _bad(begun, lines.number, FOREIGN)
            elif lines.nul:
                lines.nul = False
                yield from _bad(begun, lines.number, "holds a NUL byte, which no text does")
            elif row and len(row) == len(header) and row[0] == header[0] and tuple(row) == header:
                yield from _bad(begun, lines.number, "is the header again, as where files were joined")
            elif len(row) != width and (len(row) < width or any(row[width:])):
                if row:
                    yield from _bad(begun, lines.number, f"expected {width} cells, got {len(row)}")
            elif lines.number > begun and (lines.quotes - quotes) % 2 and lines.ended:
                yield from _bad(begun, lines.number, "a quote that is never closed")
            else:
                yield f"line {begun}", row[:width]

    def _chunk(self, rows: list[list[str]], where: list[str], bad: list[BadRow]) -> Chunk:
        columns: list[Sequence[str]] = list(zip(*rows, strict=True)) if rows else [()] * len(self.columns)
        if self.dialect.decimal_comma:
            columns = [
                _with_points(cells, index in self.dialect.grouped) for index, cells in enumerate(columns)
            ]
        return Chunk(dict(zip(self.columns, columns, strict=True)), where, [None] * len(where), bad)


def _bad(begun: int, ended: int, why: str) -> Iterator[tuple[str, BadRow]]:
    """A BadRow for each line of a bad record: a quote left open may swallow thousands, and that must
    count."""
    also = f" (from line {begun} to {ended}: is a quote left open?)" if ended > begun else ""
    for number in range(begun, max(begun, ended) + 1):
        yield f"line {number}", BadRow(f"line {number}", why + also)


def _with_points(cells: Sequence[str], grouped: bool) -> Sequence[str]:
    """'1,5' -> '1.5', and '1.234,5' -> '1234.5' in a column that groups thousands."""

    def point(cell: str) -> str:
        text = cell.strip()
        if grouped and _GROUPED.fullmatch(text):
            found = text.replace(".", "").replace(",", ".")
        elif "," in text and _DECIMAL.fullmatch(text):
            found = text.replace(",", ".")
        else:
            return cell
        return Pointed(found, text) if _EITHER.fullmatch(text) else found

    return [point(cell) for cell in cells]


def check_first_line(path: Path) -> None:
    """DataError where it takes more than a table's would."""
    with reading(path), unpacked_lines(path) as handle:
        line = handle.readline(LONGEST_HEADER)
    if len(line) == LONGEST_HEADER and b"\r" not in line:
        raise DataError(
            f"{path.name}: expected a table, its first line has more than {LONGEST_HEADER >> 20} MB.\nBreak"
            f" it into rows ({path})."
        )


def open_delimited(path: Path, dialect: Dialect, kind: type[DelimitedSource] = DelimitedSource) -> Source:
    """A text table whose dialect is known."""
    return kind(
        name=stem(path.name),
        columns=dialect.names,
        fingerprint=fingerprint_of([entry_of(path)]),
        locations=(str(path.absolute()),),
        said=[f"{path.name}: {each}" for each in dialect.said],
        path=str(path),
        dialect=dialect,
        untyped=True,
    )
