"""Tables that name a sound in each line, whose cells stand between marks and nothing else: a quote is a
letter of what is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mapsto.cells import Blob
from mapsto.data.files import Entry, fingerprint_of, reading, unpacked, unpacked_lines
from mapsto.data.formats.encoding import FOREIGN, find_encoding, is_foreign, line_end, text_of
from mapsto.source import BadRow, Chunk, Source

AUDIO = "audio"


@dataclass
class ClipSource(Source):
    """Lines of cells. mark: between them; named: the cell that names the file, which is the first column;
    there: {as a cell names it: file}; skip: lines before the rows."""

    table: str = ""
    mark: str = "|"
    named: int = 0
    there: Mapping[str, Entry] = field(default_factory=dict)
    skip: int = 0

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        rows: list[tuple[str, Blob, list[str]]] = []
        bad: list[BadRow] = []
        for place, found in self._rows():
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                rows.append((place, *found))
            if len(rows) >= size:
                yield self._chunk(rows, bad)
                rows, bad = [], []
        yield self._chunk(rows, bad)

    def _rows(self) -> Iterator[tuple[str, tuple[Blob, list[str]] | BadRow]]:
        width = len(self.columns)
        for number, line in enumerate(lines_of(self.table), 1):
            if number <= self.skip or not line.strip():
                continue
            place, cells = f"line {number}", line.split(self.mark)
            file = self.there.get(cells[self.named]) if len(cells) == width else None
            if is_foreign(line):
                yield place, BadRow(place, FOREIGN)
            elif len(cells) != width:
                yield (
                    place,
                    BadRow(place, f"expected {width} cells with '{self.mark}' between, got {len(cells)}"),
                )
            elif file is None:
                yield place, BadRow(place, f"no file '{cells[self.named]}' in the folder")
            else:
                del cells[self.named]
                yield place, (Blob(file.path, file.name), cells)

    def _chunk(self, rows: list[tuple[str, Blob, list[str]]], bad: list[BadRow]) -> Chunk:
        cells = [[blob, *rest] for _, blob, rest in rows]
        columns = {name: [row[i] for row in cells] for i, name in enumerate(self.columns)}
        return Chunk(columns, [place for place, _, _ in rows], [None] * len(rows), bad)


def lines_of(path: str | Path) -> Iterator[str]:
    """A table's lines, without their ends."""
    with reading(path), unpacked(path) as handle:
        encoding, _ = find_encoding(Path(path), handle.read(1 << 18))
    end = line_end(path)
    with (
        reading(path),
        unpacked_lines(path) as handle,
        text_of(handle, encoding, newline=end) as lines,  # type: ignore[arg-type]
    ):
        for line in lines:
            yield line.rstrip("\r\n")


def with_clips(source: ClipSource, table: Entry, files: Mapping[str, Entry]) -> ClipSource:
    """The source with its files, and a fingerprint of the table and of all of them."""
    return replace(
        source, table=table.path, there=files, fingerprint=fingerprint_of([table, *files.values()])
    )
