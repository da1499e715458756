"""Tables in text files: csv, tsv, txt, and the same packed by gzip. Streamed; a line that does not fit is
named and passed over."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapsto.data.conll import open_conll
from mapsto.data.dialect import FOREIGN, LINE, Dialect, Lines, find_dialect, records, text_of
from mapsto.data.files import (
    CONLL_SUFFIXES,
    Entry,
    entry_of,
    file_kind,
    fingerprint_of,
    inner_suffix,
    reading,
    unpacked,
)
from mapsto.data.jsonrows import open_json
from mapsto.data.parquet import open_parquet
from mapsto.data.prose import SUFFIXES, open_prose
from mapsto.data.source import BadRow, Chunk, Source, split_name
from mapsto.errors import DataError

CHUNK_CELLS, CHUNK_CHARACTERS = 1_000_000, 1 << 25  # a chunk stays below these, however wide the table
_DECIMAL = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?")


@dataclass
class DelimitedSource(Source):
    """A text table. Cells are text; '1,5' becomes '1.5' where the file writes decimal commas."""

    path: str = ""
    dialect: Dialect = field(default_factory=Dialect)

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        most = max(1, min(size, CHUNK_CELLS // len(self.columns)))
        with reading(self.path), unpacked(self.path) as handle:
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

    def running(self) -> Source:
        if inner_suffix(self.path) not in SUFFIXES:
            return self
        source = open_prose(self.name, [entry_of(Path(self.path))])
        source.locations = self.locations
        return source

    def _rows(self, lines: Lines) -> Iterator[tuple[str, list[str] | BadRow]]:
        """(place, cells) of every row below the header; a BadRow where the cells are not as many as the
        columns."""
        found, width, skip = records(lines, self.dialect), len(self.columns), self.dialect.skip
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
            return text.replace(".", "").replace(",", ".")
        return text.replace(",", ".") if "," in text and _DECIMAL.fullmatch(text) else cell

    return [point(cell) for cell in cells]


def open_delimited(path: Path, known: Sequence[str] = (), prose: bool = True) -> Source:
    """Open a text table. known: column names another file of the same table gave. prose: is a text without
    columns one that goes on, or a table of lines? DataError: no table, or no rows."""
    dialect = find_dialect(path, known)
    if dialect.delimiter == LINE and prose:
        return open_prose(stem(path.name), [entry_of(path)])
    return DelimitedSource(
        name=stem(path.name),
        columns=dialect.names,
        fingerprint=fingerprint_of([entry_of(path)]),
        locations=(str(path.absolute()),),
        said=[f"{path.name}: {each}" for each in dialect.said],
        path=str(path),
        dialect=dialect,
    )


def open_table(path: Path, known: Sequence[str] = ()) -> Source:
    """Open a file that holds one table, by what it contains. Raises DataError when it holds none."""
    entry = entry_of(path)
    packing, kind = file_kind(path)
    if kind == "empty":
        raise DataError(f"{path}: expected rows, the file is empty.")
    if kind == "parquet":
        if packing:
            raise DataError(
                f"{path.name}: parquet is packed already, {packing} around it cannot be read.\nUnpack it"
                f" first: gunzip {path}"
            )
        return open_parquet(path)
    if kind != "text":
        raise DataError(
            f"{path.name}: expected csv, tsv, jsonl, json, parquet or CoNLL, this is a {kind}.\nIn"
            f" {path.parent}."
        )
    if inner_suffix(path.name) in CONLL_SUFFIXES:
        return open_conll(path)
    if inner_suffix(path.name) in (".jsonl", ".ndjson", ".json") or (
        inner_suffix(path.name) not in (".csv", ".tsv") and _looks_json(entry)
    ):
        return open_json(path)
    return open_delimited(path, known)


def _looks_json(entry: Entry) -> bool:
    with reading(entry.path), unpacked(entry.path) as handle:
        head = handle.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith((b'{"', b"[{")) or head.replace(b" ", b"").replace(b"\n", b"").startswith(
        (b'{"', b"[{")
    )


def stem(name: str) -> str:
    """A file's name without its suffixes, but for one that names a split: 'adult.csv.gz' -> 'adult',
    'adult.train.csv' -> 'adult.train'."""
    for _ in range(2):
        path = Path(name)
        if (
            split_name(path.suffix[1:])
            or not path.suffix
            or path.suffix[1:].isdigit()
            or len(path.suffix) > 8
        ):
            break
        name = path.stem
    return name


def table_of(source: Source) -> dict[str, list[Any]]:
    """All cells in memory, column by column: for small tables such as metadata and for tests."""
    gathered: dict[str, list[Any]] = {name: [] for name in source.columns}
    for chunk in source.chunks():
        for name in source.columns:
            gathered[name].extend(chunk.columns[name])
    return gathered
