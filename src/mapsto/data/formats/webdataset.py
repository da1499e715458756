"""WebDataset: a .tar in which the files of one name and several suffixes are a row: 0001.jpg, 0001.cls,
0001.json.

Pictures and sounds are columns named by their type, objects in .json give a column for each of their names,
and everything else is a column named by its suffix. Streamed: files of a row stand behind each other
(github.com/webdataset/webdataset)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mapsto.data.files import fingerprint_of
from mapsto.data.media import by_suffix, media
from mapsto.data.members import tar_headers
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import BadRow, Chunk, Source

LOOKED_AT = 64  # files whose names say whether it is one


CHUNK_BYTES, MOST_BYTES = 1 << 26, 1 << 28  # of a chunk, and of one file


TEXTS = (".txt", ".text", ".cls", ".cls2", ".id", ".transcript")


def has_rows(path: Path) -> bool:
    """Do a tar's first files come in rows of two or more, one of them saying something of the others?"""
    try:
        names = [one.name for one, _ in itertools.islice(tar_headers(path), LOOKED_AT) if one.isfile()]
    except DataError:
        return False
    rows = [list(some) for _, some in itertools.groupby(names, _key)]
    rows = rows[:-1] if len(names) == LOOKED_AT else rows  # the last may go on
    says = any(_suffix(name).endswith((".cls", ".json", ".txt", ".transcript")) for name in names)
    several = sum(len(row) > 1 for row in rows)
    return says and bool(rows) and several > 0.9 * len(rows)


def source_of(offer: Offer) -> Source:
    """DataError: damaged, or without rows."""
    columns: dict[str, None] = {}
    for _, row in _rows(offer.path):
        if isinstance(row, dict):
            columns.update(dict.fromkeys(row))
    if not columns:
        raise DataError(
            f"{offer.path.name}: expected rows of files, found none ({offer.path})."
            "\nCheck that the archive is whole."
        )
    medium = [name for name in columns if name in media()]
    others = [name for name in columns if name not in medium]
    return TarSource(
        name=offer.name,
        columns=tuple(columns),
        fingerprint=fingerprint_of([offer.entry]),
        guess=f"{medium[0]} -> {others[0]}" if len(medium) == len(others) == 1 else None,
        said=[f"{offer.path.name}: files of one name are a row ({', '.join(columns)})"],
        path=str(offer.path),
    )


@dataclass
class TarSource(Source):
    """Rows of a tar. A column that a row lacks is None there."""

    path: str = ""

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        rows: list[dict[str, Any]] = []
        where: list[str] = []
        bad: list[BadRow] = []
        held = 0
        for key, row in _rows(Path(self.path)):
            if isinstance(row, BadRow):
                bad.append(row)
                continue
            rows.append(row)
            where.append(key)
            held += sum(len(cell) for cell in row.values() if isinstance(cell, bytes))
            if len(rows) >= size or held > CHUNK_BYTES:
                yield self._chunk(rows, where, bad)
                rows, where, bad, held = [], [], [], 0
        if rows or bad:
            yield self._chunk(rows, where, bad)

    def _chunk(self, rows: list[dict[str, Any]], where: list[str], bad: list[BadRow]) -> Chunk:
        columns = {name: [row.get(name) for row in rows] for name in self.columns}
        return Chunk(columns, where, [None] * len(rows), bad)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:
    """(key, its cells by column, or why they cannot be read)."""
    named = ((one, content) for one, content in tar_headers(path) if content and not _is_hidden(one.name))
    for key, some in itertools.groupby(named, lambda each: _key(each[0].name)):
        row: dict[str, Any] = {}
        name = key
        try:
            for one, content in some:
                name = one.name
                if one.size > MOST_BYTES:
                    raise ValueError(f"has {one.size:,} bytes, at most {MOST_BYTES:,} are read")
                row |= _cells(_suffix(name), content.read())
        except ValueError as problem:  # no utf-8, or no JSON
            yield key, BadRow(key, f"{name}: {problem}")
            continue
        yield key, row


def _is_hidden(name: str) -> bool:
    return PurePosixPath(name).name.startswith(".")


def _key(name: str) -> str:
    """'set/0001.left.jpg' -> 'set/0001'."""
    path = PurePosixPath(name)
    return str(path.with_name(path.name.split(".")[0] or path.name))


def _suffix(name: str) -> str:
    """'set/0001.left.jpg' -> '.left.jpg'."""
    base = PurePosixPath(name).name
    return base[base.index(".") :] if "." in base else ""


def _cells(suffix: str, data: bytes) -> Mapping[str, Any]:
    """A file's cells by column."""
    last = PurePosixPath(f"x{suffix}").suffix.lower()
    name = suffix[1:].lower() or "file"
    if medium := by_suffix(f"x{last}"):
        return {medium if suffix.lower() == last else name.removesuffix(last): data}
    if last == ".json":
        found = json.loads(data)
        return found if isinstance(found, dict) else {name: found}
    return {name: data.decode("utf-8").strip() if last in TEXTS else data}
