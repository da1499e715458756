"""Columns of records, {"name": cell}, as JSON and parquet have them: each field becomes a column, where no
type reads the record itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from mapsto.cells import Column, is_missing
from mapsto.registry import entry, names
from mapsto.source import Chunk, Source

LOOKED_AT = 64  # records of a column
MOST = 100  # fields of a column


@dataclass
class Flattened(Source):
    """A table's rows, with a column for each field. held: {column: its fields, and their columns}."""

    inner: Source | None = None
    held: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        assert self.inner is not None
        for chunk in self.inner.chunks(size):
            columns: dict[str, Sequence[Any]] = {}
            for name, cells in chunk.columns.items():
                parts = self.held.get(name)
                if parts is None:
                    columns[name] = cells
                    continue
                records = [cell if isinstance(cell, Mapping) else {} for cell in cells]
                columns |= {column: [one.get(key) for one in records] for key, column in parts.items()}
            yield Chunk(columns, chunk.where, chunk.split, chunk.bad)

    def tested_elsewhere(self) -> Source:
        return _around(self.inner.tested_elsewhere(), self.held) if self.inner is not None else self


def flattened(source: Source) -> Source:
    """The source, its columns of plain records as columns of their fields, called "record.field"; as it came
    where it has none."""
    head = next(source.chunks(256), None) if source.kind == "rows" else None
    if head is None:
        return source
    records = [name for name in source.columns if _is_record(name, head.columns[name])]
    held = _fields(source, records) if records else {}
    return _around(source, held) if held else source


def _around(source: Source, held: Mapping[str, Mapping[str, str]]) -> Source:
    columns: list[str] = []
    for name in source.columns:
        columns += held[name].values() if name in held else [name]
    told = [f"column '{name}': a record, a column for each field ({', '.join(held[name])})" for name in held]
    shown = {each.name: getattr(source, each.name) for each in fields(Source)}
    digest = hashlib.blake2b(
        f"{source.fingerprint}{columns}".encode("utf-8", "surrogatepass"), digest_size=16
    )
    shown |= {"columns": tuple(columns), "said": [*source.said, *told], "fingerprint": digest.hexdigest()}
    return Flattened(**shown, inner=source, held=held)


def with_fields(source: Source, wanted: Sequence[str]) -> Source:
    """The source, its columns of records as columns of their fields where a field is wanted by name, whatever
    else the records may be: of a few rows that are asked about nobody can tell."""
    head = next(source.chunks(256), None) if source.kind == "rows" else None
    missing = [name for name in wanted if name not in source.columns]
    held: dict[str, dict[str, str]] = {}
    for name in source.columns if head is not None and missing else ():
        named = {one.removeprefix(f"{name}."): one for one in missing if one.startswith(f"{name}.")}
        if named and all(is_missing(cell) or isinstance(cell, Mapping) for cell in head.columns[name]):  # type: ignore[union-attr]
            held[name] = named
    return _around(source, held) if held else source


def _is_record(name: str, cells: Sequence[Any]) -> bool:
    """Are all cells records, which no type reads, of plain cells and perhaps of records, which are columns of
    their own, too, and left out where no type reads them?"""
    known = [cell for cell in cells if not is_missing(cell)][:LOOKED_AT]
    if not known or not all(isinstance(cell, Mapping) for cell in known):
        return False
    inner = [one for cell in known for one in cell.values()]
    if any(isinstance(one, (list, tuple, set, bytes)) for one in inner):  # of a file's bytes, of answers
        return False
    if all(isinstance(one, Mapping) for one in inner):
        return False
    return all(entry("types", kind).sniff(Column(name, known)) <= 0 for kind in names("types"))


def _fields(source: Source, records: Sequence[str]) -> dict[str, dict[str, str]]:
    """{column: {field: its column}} over all rows; columns of more than MOST fields stay as they are."""
    found: dict[str, dict[str, None]] = {name: {} for name in records}
    for chunk in source.chunks():
        for name, seen in found.items():
            for cell in chunk.columns[name]:
                if isinstance(cell, Mapping):
                    seen.update(dict.fromkeys(map(str, cell)))
    taken = set(source.columns)
    return {
        name: {key: f"{name}.{key}{'_2' * (f'{name}.{key}' in taken)}" for key in seen}
        for name, seen in found.items()
        if len(seen) <= MOST
    }
