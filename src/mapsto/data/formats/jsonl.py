"""Rows of JSON: one object a line (jsonl), or a file holding a list of objects or a dict of columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapsto.cells import sound
from mapsto.data.files import (
    MOST_RATIO,
    entry_of,
    fingerprint_of,
    inner_suffix,
    reading,
    unpacked,
    unpacked_lines,
)
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import BadRow, Chunk, Source

CHUNK_BYTES = 1 << 25
MOST_WHOLE = 1 << 29  # bytes of a file that is one value, an eighth of it where that is packed like a bomb


@dataclass
class JsonLines(Source):
    """One JSON object a line. A key that a line lacks is None there."""

    path: str = ""

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        rows: list[dict] = []
        where: list[str] = []
        bad: list[BadRow] = []
        held = 0
        for place, row, length in _objects(self.path):
            if isinstance(row, BadRow):
                bad.append(row)
            else:
                rows.append(row)
                where.append(place)
            held += length
            if len(rows) >= size or len(bad) >= size or held > CHUNK_BYTES:
                yield _chunk(self.columns, rows, where, bad)
                rows, where, bad, held = [], [], [], 0
        if rows or bad:
            yield _chunk(self.columns, rows, where, bad)


@dataclass
class JsonList(Source):
    """A JSON file of one list of objects. Read whole each time: such files are small."""

    path: str = ""

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        items = _items(Path(self.path))
        for start in range(0, len(items), size):
            part = items[start : start + size]
            rows = [(f"item {start + i}", item) for i, item in enumerate(part)]
            bad = [BadRow(place, _no_object(item)) for place, item in rows if not isinstance(item, dict)]
            good = [(place, item) for place, item in rows if isinstance(item, dict)]
            yield _chunk(self.columns, [item for _, item in good], [place for place, _ in good], bad)


def _chunk(columns: tuple[str, ...], rows: list[dict], where: list[str], bad: list[BadRow]) -> Chunk:
    return Chunk({name: [row.get(name) for row in rows] for name in columns}, where, [None] * len(rows), bad)


def _no_object(item: Any) -> str:
    return f'expected an object like {{"column": value}}, got a {type(item).__name__}'


def _objects(path: str) -> Iterator[tuple[str, dict | BadRow, int]]:
    """(place, object or why not, bytes) of every line that is not blank."""
    with reading(path), unpacked_lines(path) as handle:
        for number, line in enumerate(handle, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            place = f"line {number}"
            try:
                row = _sound(json.loads(line), line)
            except (ValueError, RecursionError) as error:  # no JSON, no utf-8, or nested too deep
                yield place, BadRow(place, f"expected one JSON object a line: {error}"), len(line)
                continue
            yield place, row if isinstance(row, dict) else BadRow(place, _no_object(row)), len(line)


def _sound(value: Any, written: bytes) -> Any:
    """What was read from `written`, without the halves of characters that only JSON's \\ud83d can bring."""
    if b"\\ud" not in written and b"\\uD" not in written:
        return value
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, dict):
        return {sound(name): _sound(item, written) for name, item in value.items()}
    return [_sound(item, written) for item in value] if isinstance(value, list) else value


def value_of(path: Path) -> Any:
    """One JSON value over the whole file. DataError: it is none, or too large to be read as a whole."""
    with reading(path), unpacked(path) as handle:
        most = min(MOST_WHOLE, max(MOST_WHOLE // 8, MOST_RATIO * path.stat().st_size))
        data = handle.read(most + 1)
    if len(data) > most:
        raise DataError(
            f"{path.name}: expected one JSON object a line, this is one value of more than"
            f" {most >> 20:,} MB, which is read as a whole.\nWrite it as jsonl ({path})."
        )
    try:
        return _sound(json.loads(data.removeprefix(b"\xef\xbb\xbf")), data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: expected JSON, {error}.\nIn {path}.") from None


def _items(path: Path) -> list[Any]:
    value = value_of(path)
    if isinstance(value, dict):
        lists = [
            each for each in value.values() if isinstance(each, list) and each and isinstance(each[0], dict)
        ]
        if len(lists) == 1:
            return lists[0]  # {"version": …, "data": [{…}, …]}
        value = _from_columns(value)
    if not isinstance(value, list) or not any(isinstance(item, dict) for item in value):
        raise DataError(
            f'{path.name}: expected a list of objects, [{{"column": value, …}}, …], or one object a line.\nIn'
            f" {path}."
        )
    return value


def _from_columns(value: dict) -> list[dict] | None:
    """{'a': [1, 2]} or pandas' {'a': {'0': 1, '1': 2}} -> rows; None when it is neither."""
    columns = {
        name: list(cells.values()) if isinstance(cells, dict) else cells for name, cells in value.items()
    }
    if (
        not columns
        or not all(isinstance(cells, list) for cells in columns.values())
        or len({len(cells) for cells in columns.values()}) > 1
    ):
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def source_of(offer: Offer) -> Source:
    """jsonl or json, whichever the content is; the columns are the union of all keys. DataError: no rows."""
    path = offer.path
    lines = _is_lines(path)
    keys: dict[str, None] = {}
    bad = 0
    if lines:
        for _, row, _ in _objects(str(path)):
            bad += isinstance(row, BadRow)
            keys.update(dict.fromkeys(row if isinstance(row, dict) else ()))
    else:
        for item in _items(path):
            keys.update(dict.fromkeys(item if isinstance(item, dict) else ()))
    if not keys:
        raise DataError(
            f"{path.name}: expected JSON objects, one a line; found"
            f" {f'{bad} other lines' if bad else 'no rows'}.\nIn {path}."
        )
    kind = JsonLines if lines else JsonList
    return kind(
        name=path.name.split(".json")[0].split(".ndjson")[0],
        columns=tuple(keys),
        fingerprint=fingerprint_of([entry_of(path)]),
        locations=(str(path.absolute()),),
        said=[f"{path.name}: {'one JSON object a line' if lines else 'a list of JSON objects'}"],
        path=str(path),
    )


def _is_lines(path: Path) -> bool:
    """True for one value a line; False for one value over the whole file."""
    with reading(path), unpacked(path) as handle:
        first = b""
        while not first.strip():
            first = handle.readline(1 << 26)
            if not first:
                raise DataError(f"{path}: expected rows, the file is empty.\nGive one with rows.")
        rest = handle.read(4096).strip()
    first = first.removeprefix(b"\xef\xbb\xbf").strip()
    if first.startswith(b"["):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return first != b"{" and b"}\n{" in rest.replace(b"\r", b"").replace(b"} ", b"}")
    return bool(rest) or inner_suffix(path.name) != ".json"
