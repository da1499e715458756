"""Weka's .arff: named attributes with their kinds, then rows, between commas or sparse: {0 5.1, 3 yes}. '?'
is a missing cell (waikato.github.io/weka-wiki/formats_and_processing/arff_stable)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mapsto.data.files import fingerprint_of, reading, unpacked, unpacked_lines
from mapsto.data.formats.encoding import find_encoding, text_of
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import BadRow, Chunk, Source

ATTRIBUTE = re.compile(r"@attribute\s+('(?:\\.|[^'])*'|\"(?:\\.|[^\"])*\"|\S+)\s+(.+)", re.IGNORECASE)


def source_of(offer: Offer) -> Source:
    """DataError: no attributes, or no rows."""
    with reading(offer.path), unpacked(offer.path) as handle:
        encoding, told = find_encoding(offer.path, handle.read(1 << 18))
    with _lines(offer.path, encoding) as lines:
        attributes = _attributes(lines)
        first = next(_data(lines), None)
    if not attributes or first is None:
        what = "rows below @data" if attributes else "lines like '@attribute name kind'"
        raise DataError(
            f"{offer.path.name}: expected {what}, found none ({offer.path}).\nCheck that the file is whole."
        )
    columns = tuple(name for name, _ in attributes)
    last, kind = attributes[-1]
    return ArffSource(
        name=offer.name,
        columns=columns,
        fingerprint=fingerprint_of([offer.entry]),
        guess=f"* -> {last}" if last.lower() == "class" and kind.startswith("{") else None,
        said=[f"{offer.path.name}: arff, {len(columns)} attributes", *told],
        path=str(offer.path),
        encoding=encoding,
        kinds=tuple(kind for _, kind in attributes),
    )


@dataclass
class ArffSource(Source):
    """Cells are text, as they are written. kinds: of the attributes ('numeric', '{a,b}', …)."""

    path: str = ""
    encoding: str = "utf-8"
    kinds: tuple[str, ...] = ()

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        rows: list[list[str | None]] = []
        where: list[str] = []
        bad: list[BadRow] = []
        with _lines(Path(self.path), self.encoding) as lines:
            _attributes(lines)
            for number, line in _data(lines):
                row = self._row(line)
                if isinstance(row, str):
                    bad.append(BadRow(f"line {number}", row))
                else:
                    rows.append(row)
                    where.append(f"line {number}")
                if len(rows) >= size or len(bad) >= size:
                    yield self._chunk(rows, where, bad)
                    rows, where, bad = [], [], []
        if rows or bad:
            yield self._chunk(rows, where, bad)

    def _chunk(self, rows: list[list[str | None]], where: list[str], bad: list[BadRow]) -> Chunk:
        cells = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in self.columns]
        return Chunk(dict(zip(self.columns, cells, strict=True)), where, [None] * len(rows), bad)

    def _row(self, line: str) -> list[str | None] | str:
        """A row's cells, or why it is none."""
        if line.startswith("{"):
            return self._sparse(line)
        cells = _split(line)
        if len(cells) != len(self.columns):
            return f"expected {len(self.columns)} cells, got {len(cells)}"
        return [None if cell == "?" else _bare(cell) for cell in cells]

    def _sparse(self, line: str) -> list[str | None] | str:
        """{0 5.1, 3 yes}: what is not named is 0, of classes the first."""
        row: list[str | None] = [
            _bare(_split(kind[1:-1])[0]) if kind.startswith("{") else "0" for kind in self.kinds
        ]
        for cell in _split(line.strip("{} ")) if line.strip("{} ") else []:
            place, _, value = cell.strip().partition(" ")
            if not place.isdigit() or int(place) >= len(row):
                return f"expected the number of an attribute and its value, got '{cell}'"
            row[int(place)] = None if value.strip() == "?" else _bare(value)
        return row


@contextmanager
def _lines(path: Path, encoding: str) -> Iterator[Iterator[tuple[int, str]]]:
    """(number, line) without blank lines and comments."""
    with reading(path), unpacked_lines(path) as handle, text_of(handle, encoding, marks=False) as text:  # type: ignore[arg-type]
        numbered = ((number, line.strip()) for number, line in enumerate(text, 1))
        yield ((number, line) for number, line in numbered if line and not line.startswith("%"))


def _attributes(lines: Iterator[tuple[int, str]]) -> list[tuple[str, str]]:
    """(name, kind) of each; the lines go on behind @data."""
    found = []
    for _, line in lines:
        if line.lower().startswith("@data"):
            break
        if named := ATTRIBUTE.match(line):
            found.append((_bare(named[1]), named[2].strip()))
    return found


def _data(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield from lines


def _split(line: str) -> list[str]:
    """At commas outside quotes, which stay."""
    quote = "'" if "'" in line else '"'
    reader = csv.reader([line], quotechar=quote, escapechar="\\", skipinitialspace=True)
    return [cell.strip() for cell in next(reader, [])]


def _bare(text: str) -> str:
    """Without the quotes around it."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if quoted else text
