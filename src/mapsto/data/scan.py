"""The first look at all rows: one pass that keeps what splitting and fitting need, and never the rows
themselves.

For every row a hash of its inputs (equal rows get equal hashes, on every machine), the split the data names,
group, time and weight; for every column a sample of cells. Memory: about 30 bytes a row, and a bounded
sample.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mapsto.cells import Blob, Column, is_missing, shorten
from mapsto.errors import DataError
from mapsto.source import SPLITS, BadRow, Chunk, Source
from mapsto.types.number.numerals import number_of

SAMPLE_ROWS = 50_000  # a column's sample: enough for every statistic a room fits
SAMPLE_CHARACTERS = 100_000_000  # of its texts together, which may be long
FEWEST = 64  # rows that stay in it, however long
SAMPLE_CELLS = 1_000_000  # over all columns, for tables of thousands of columns
SAMPLE_BYTES = 64 << 20  # cells that hold pictures: bytes
HEAVY = 500  # and how many of them: a room decodes them all at once to see sizes and colours
CLASS = 1_000  # letters of a class's name, at most
# what a scan knows of each row
OF_ROWS = ("hashes", "named", "groups", "times", "weights", "strata", "unanswered")
DISTINCT = 100_000  # classes beyond which a target is no category


@dataclass
class Scan:
    """What one pass found. hashes (n,) uint64 of the inputs; named (n,) int8: index into SPLITS, -1 where the
    data is silent."""

    hashes: np.ndarray
    named: np.ndarray
    groups: np.ndarray | None
    times: np.ndarray | None
    weights: np.ndarray | None
    strata: np.ndarray | None  # (n,) uint64 hash of the target cells, below STRATIFY rows
    unanswered: np.ndarray  # (n,) bool: of no target is there a cell; only where the data names a split
    sample: dict[str, list[Any]]  # column -> raw cells of sampled rows
    sample_rows: dict[str, np.ndarray]  # column -> their row numbers
    bad: list[BadRow] = field(default_factory=list)
    distinct: dict[str, list[Any]] = field(
        default_factory=dict
    )  # target column -> every distinct cell (at most DISTINCT)
    untyped: bool = False  # as of the source

    def __len__(self) -> int:
        return len(self.hashes)

    def only(self, rows: slice | np.ndarray) -> Scan:
        """What splitting needs of some rows."""
        some = {name: None if (value := getattr(self, name)) is None else value[rows] for name in OF_ROWS}
        return replace(self, **some)

    def column(self, name: str) -> Column:
        return Column(name, self.sample[name])


def digest(value: Any) -> bytes:
    """A cell's identity: equal for equal contents, whatever file it lies in."""
    if type(value) is str:  # most are: a table of 50,000 rows has 700,000 cells
        return value.strip().encode("utf-8", "surrogatepass")
    if isinstance(value, Blob):
        return hashlib.blake2b(value.read(), digest_size=16).digest()
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        return value["bytes"]
    return str(value).strip().encode("utf-8", "surrogatepass")


def hash64(cells: Sequence[Any]) -> int:
    return int.from_bytes(hashlib.blake2b(b"\x1f".join(map(digest, cells)), digest_size=8).digest(), "little")


def scan(
    source: Source,
    inputs: Sequence[str],
    targets: Sequence[str],
    *,
    group: str | None,
    time: str | None,
    weight: str | None,
) -> Scan:
    """One pass over `source`. inputs, targets: column names. DataError when there is no row at all, or a
    weight is no weight."""
    most = max(500, min(SAMPLE_ROWS, SAMPLE_CELLS // max(1, len(inputs) + len(targets))))
    keeper = _Sample([*dict.fromkeys([*inputs, *targets])], targets, most)
    hashes, strata, groups = array("Q"), array("Q"), array("Q")
    named, times, weights, unanswered = array("b"), array("d"), array("d"), array("b")
    bad: list[BadRow] = []
    for chunk in source.chunks():
        bad += chunk.bad
        found = row_hashes(chunk, inputs)
        keeper.add(chunk, found, first=len(hashes))
        hashes.extend(found)
        strata.extend(row_hashes(chunk, targets))
        named.extend(SPLITS.index(name) if name else -1 for name in chunk.split)
        unanswered.extend(_unanswered(chunk, targets))
        if group:
            groups.extend(hash64([cell]) for cell in chunk.columns[group])
        if time:
            times.extend(_time(cell, chunk.where[i], time) for i, cell in enumerate(chunk.columns[time]))
        if weight:
            weights.extend(
                _weight(cell, chunk.where[i], weight) for i, cell in enumerate(chunk.columns[weight])
            )
    keeper.finish()
    if not len(hashes):
        raise _no_rows(source, bad)
    return Scan(
        np.array(hashes),
        np.array(named),
        np.array(groups) if group else None,
        np.array(times) if time else None,
        np.array(weights, np.float32) if weight else None,
        np.array(strata),
        np.array(unanswered, bool),
        keeper.cells,
        {k: np.array(v, np.int64) for k, v in keeper.rows.items()},
        bad,
        {name: list(seen.values()) for name, seen in keeper.distinct.items()},
        source.untyped,
    )


def _no_rows(source: Source, bad: Sequence[BadRow]) -> DataError:
    why = f" (first reason: {bad[0].where}: {bad[0].why})" if bad else ""
    return DataError(
        f"{source.name}: expected rows, found none that can be read{why}.\nCheck that the file is what it"
        " should be."
    )


def cells_of(source: Source, wanted: Mapping[str, str], rows: np.ndarray) -> dict[str, list[Any]]:
    """One more pass: of each column {name: "distinct" or "all"} the cells that stand in `rows` (n,) bool, in
    their order. Missing cells are no distinct ones."""
    seen: dict[str, dict[str, Any]] = {name: {} for name, what in wanted.items() if what == "distinct"}
    every: dict[str, list[Any]] = {name: [] for name, what in wanted.items() if what == "all"}
    first = 0
    for chunk in source.chunks():
        there = np.flatnonzero(rows[first : first + len(chunk)]).tolist()
        first += len(chunk)
        for name, held in seen.items():
            cells = (chunk.columns[name][i] for i in there)
            held.update((str(cell), cell) for cell in cells if str(cell) not in held and not is_missing(cell))
        for name, kept in every.items():
            kept += [chunk.columns[name][i] for i in there]
    return every | {name: list(held.values()) for name, held in seen.items()}


def row_hashes(chunk: Chunk, names: Sequence[str]) -> list[int]:
    """Of each row, by its cells in these columns."""
    columns = [chunk.columns[name] for name in names]
    if not columns:  # nothing left of the arrow: every row is its own
        return [hash64([where]) for where in chunk.where]
    found = []
    for row in zip(*columns, strict=True):
        try:
            found.append(hash64(row))
        except OSError:  # an unreadable file: encoding will say so and quarantine the row
            found.append(hash64([str(cell) for cell in row]))
    return found


def _unanswered(chunk: Chunk, targets: Sequence[str]) -> list[bool]:
    """Of each row that the data puts into a split: is every target missing?"""
    if not targets or not any(chunk.split):
        return [False] * len(chunk)
    columns = [chunk.columns[name] for name in targets]
    rows = zip(chunk.split, *columns, strict=True)
    return [bool(split) and all(map(is_missing, cells)) for split, *cells in rows]


class _Sample:
    """Rows whose mixed hash lies under a threshold that halves when a column's sample is full: a uniform
    sample that does not depend on the order of rows. Beside it, every distinct cell of the targets: a class
    of three rows in a million is one.
    """

    def __init__(self, names: Sequence[str], targets: Sequence[str], most: int):
        self.cells: dict[str, list[Any]] = {name: [] for name in names}
        self.rows: dict[str, list[int]] = {name: [] for name in names}
        self.distinct: dict[str, dict[str, Any]] = {name: {} for name in targets}
        self.keys: dict[int, int] = {}  # row -> mixed hash, of the rows in the sample
        self.heavy: dict[
            str, list[tuple[int, int, Any]]
        ] = {}  # columns of pictures: (mixed hash, row, cell), the smallest hashes
        self.most, self.limit = most, 1 << 64
        self.characters = 0  # of texts in the sample

    def add(self, chunk: Chunk, hashes: Sequence[int], first: int) -> None:
        mixed = [_mix(value) for value in hashes]
        chosen = [i for i, value in enumerate(mixed) if value < self.limit]
        for name, cells in self.cells.items():
            column = chunk.columns[name]
            if name in self.heavy or (column and _heavy(column[0])):
                self._add_heavy(self.heavy.setdefault(name, []), column, mixed, first)
                continue
            cells.extend(column[i] for i in chosen)
            self.rows[name].extend(first + i for i in chosen)
        for name, seen in self.distinct.items():
            if len(seen) < DISTINCT:
                seen.update(
                    (str(cell), cell)
                    for cell in chunk.columns[name]
                    if _may_be_class(cell) and str(cell) not in seen
                )
        self.keys |= {first + i: mixed[i] for i in chosen}
        self.characters += sum(
            _characters(cells[-len(chosen) :])
            for name, cells in self.cells.items()
            if chosen and name not in self.heavy
        )
        while len(self.keys) > self.most or (self.characters > SAMPLE_CHARACTERS and len(self.keys) > FEWEST):
            self._thin()

    def _add_heavy(
        self, held: list[tuple[int, int, Any]], column: Sequence[Any], mixed: Sequence[int], first: int
    ) -> None:
        """Cells that hold pictures: at most HEAVY, and SAMPLE_BYTES. Which ones depends on the hash alone,
        not on the order of class folders."""
        held.extend(
            (value, first + i, cell) for i, (value, cell) in enumerate(zip(mixed, column, strict=True))
        )
        held.sort(key=lambda entry: entry[:2])
        del held[HEAVY:]
        while len(held) > 1 and sum(_size(cell) for _, _, cell in held) > SAMPLE_BYTES:
            del held[len(held) // 2 :]

    def finish(self) -> None:
        """Sampled pictures in the order of their rows, beside the other columns."""
        for name, held in self.heavy.items():
            for _, row, cell in sorted(held, key=lambda entry: entry[1]):
                self.cells[name].append(cell)
                self.rows[name].append(row)

    def _thin(self) -> None:
        """Halve the threshold. Rows that are all alike lie above or below it together: of these the first
        half stays."""
        kept = {row: value for row, value in self.keys.items() if value < self.limit // 2}
        self.limit //= 2 if kept else 1
        self.keys = kept or dict(list(self.keys.items())[: len(self.keys) // 2])
        for name, cells in self.cells.items():
            stay = [i for i, row in enumerate(self.rows[name]) if row in self.keys]
            self.cells[name] = [cells[i] for i in stay]
            self.rows[name] = [self.rows[name][i] for i in stay]
        self.characters = sum(map(_characters, self.cells.values()))


def _may_be_class(cell: Any) -> bool:
    """Is it short enough to be one of several classes, or labels? Texts that are learned are not."""
    return (
        not isinstance(cell, (bytes, Blob))
        and not (isinstance(cell, str) and len(cell) > CLASS)
        and not _is_talk(cell)
    )


def _is_talk(cell: Any) -> bool:
    """A list of objects, as conversations are."""
    return (
        isinstance(cell, (list, tuple, np.ndarray))
        and getattr(cell, "shape", None) != ()
        and len(cell) > 0
        and isinstance(cell[0], dict)
    )


def _characters(cells: Sequence[Any]) -> int:
    return sum(len(cell) for cell in cells if isinstance(cell, str))


def _mix(value: int) -> int:
    """Spread the hash again, so that the sample is not the same choice as the split."""
    return (value * 0x9E3779B97F4A7C15 ^ (value >> 29) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF


def _size(cell: Any) -> int:
    return len(cell) if isinstance(cell, bytes) else getattr(cell, "nbytes", 4096)


def _heavy(cell: Any) -> bool:
    return isinstance(cell, (Blob, bytes, np.ndarray, dict)) and not (
        isinstance(cell, np.ndarray) and cell.ndim < 2
    )


def _time(cell: Any, where: str, name: str) -> float:
    """A cell of the time column as seconds or a number."""
    try:
        value = number_of(cell)
    except DataError as problem:
        raise DataError(f"{where}, column '{name}': {problem}") from None
    if value is None:
        raise DataError(
            f"{where}, column '{name}': expected a time, the cell is missing.\nFill it, or leave --time out."
        )
    return float(value)


def _weight(cell: Any, where: str, name: str) -> float:
    try:
        value = 0.0 if is_missing(cell) else float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise DataError(
            f"{where}, column '{name}': expected a weight ≥ 0, got {shorten(cell)}.\nMend the cell, or leave"
            " --weight out."
        )
    return value
