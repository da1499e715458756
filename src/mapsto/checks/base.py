"""The data gate: what is wrong with the data before anything is learned from it. One file in this folder is
one fault looked for.

A file holds `look(evidence) -> list[Finding]`. It reads what the scan and the encoded store already hold, a
few passes of array code over bounded samples: seconds, whatever the size of the set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.batch import key
from mapsto.checks._clock import Clock
from mapsto.checks._columns import Fact, is_constant, names_rows, numbers_rows
from mapsto.config import Reading, from_record
from mapsto.data.encode_chunk import Spot
from mapsto.data.scan import Scan, hash64
from mapsto.data.store import Store
from mapsto.data.unused import LEAST, is_named_like_an_id
from mapsto.errors import ConfigError, RunError
from mapsto.files import read_json
from mapsto.signature import Slot
from mapsto.source import SPLITS, Source
from mapsto.types.base import DataType

LEVELS = (
    "stop",
    "warn",
    "note",
)  # stop: `train` refuses; warn: said once; note: only in the record and the report
MOST_ROWS = 20_000  # rows whose values are compared
MOST_BYTES = 1 << 30  # of encoded cells read for one look
MOST_FACTS = 20_000_000  # values held, over all columns
PIECE = 1024  # rows read at once
EXAMPLES = 5  # rows named of each finding
# beyond what makes accidental repeats unlikely (twice log2 of the rows), before a repeated row is strange
BITS = 10


@dataclass(frozen=True)
class Finding:
    """One fault. name: what to call it ("leakage", "duplicates", "constant", …); level: one of LEVELS; what:
    one sentence with the count; effect: what it would do to the result; fix: the flag or command that mends
    it; columns: those concerned; count: rows or cells; rows: row numbers of examples; where: what a person
    would call them ("line 17"); examples: their cells, private.
    """

    name: str
    level: str
    what: str
    effect: str
    fix: str
    columns: tuple[str, ...] = ()
    count: int = 0
    rows: tuple[int, ...] = ()
    where: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Finding:
        """ConfigError: a value is of another kind than its field."""
        return from_record(cls, record, "finding")


def read_findings(folder: Path) -> list[Finding]:
    """Those that the data gate wrote into a run's folder. RunError: damaged."""
    path, mend = folder / "findings.json", "Delete it; the data is checked again by: mapsto check DATA"
    if not path.exists():
        return []
    try:
        return [Finding.from_json(one) for one in read_json(path, list[dict[str, Any]], mend)]
    except (ConfigError, TypeError) as problem:
        raise RunError(f"{path}: is damaged ({problem}).\n{mend}") from None


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a check may look at. store: every row encoded, divided as it will be trained; scan: hashes of all
    rows' inputs and targets, and a sample of raw cells; left_out: columns that `resolve` does not use, and
    why; clock: the seconds that checks share."""

    source: Source
    store: Store
    scan: Scan
    reading: Reading
    left_out: Sequence[str] = ()
    clock: Clock = field(default_factory=lambda: Clock(float("inf")))

    # ---- rows ----

    @cached_property
    def split_of(self) -> np.ndarray:
        """(n,) int8: index into SPLITS, -1 where a row is not used."""
        of = np.full(self.store.n, -1, np.int8)
        for index, name in enumerate(SPLITS):
            of[self.store.rows(name)] = index
        return of

    @cached_property
    def rows(self) -> np.ndarray:
        """(m,) used rows whose values are compared, in order: all, or those of the scan's sample, at most
        MOST_ROWS. Equal rows are in it together."""
        found = list(self.scan.sample_rows.values())
        sampled = max(found, key=len) if found else np.arange(self.store.n)
        used = sampled[self.split_of[sampled] >= 0]
        layouts = [column_type.layout for column_type in self.store.types.values()]
        width = sum((one.shape[0] or 1) if len(one.shape) == 1 else 1 for one in layouts)  # labels count each
        return used[chosen(len(used), max(500, min(MOST_ROWS, MOST_FACTS // width)), "rows")]

    @property
    def said_rows(self) -> str:
        """How many rows were looked at, where not all."""
        used = int((self.split_of >= 0).sum())
        return f" (looked at {len(self.rows):,} of {used:,} rows)" if len(self.rows) < used else ""

    @cached_property
    def distinct_rows(self) -> np.ndarray:
        """(k,) positions in `rows` of rows with different inputs: the first of each."""
        return np.sort(np.unique(self.scan.hashes[self.rows], return_index=True)[1])

    @cached_property
    def different_rows(self) -> np.ndarray:
        """The same, where columns that only number the rows make no row another: copies of a row tell nothing
        more of what depends on what."""
        return np.sort(np.unique(self.keys[self.rows], return_index=True)[1])

    def asked(self, method: str, spots: Sequence[Spot], rows: np.ndarray) -> dict[Spot, list[Any]]:
        """What rooms say by `facts`, `traits`, `places` or `likeness` of rows, piece by piece; spots that say
        nothing are left out."""
        answering = [spot for spot in spots if spot in self._answering(method)]
        found: dict[Spot, list[Any]] = {spot: [] for spot in answering}
        for low in range(0, len(rows) if answering else 0, PIECE):
            raw = self.store.raw(rows[low : low + PIECE], set(answering))
            for spot in answering:
                found[spot].append(getattr(self.store.types[spot], method)(raw[spot]))
        return {spot: parts for spot, parts in found.items() if parts}

    def answering(self, method: str) -> list[Slot]:
        """The inputs whose rooms say something by a method."""
        return [slot for slot in self.inputs if ("input", slot.name) in self._answering(method)]

    def _answering(self, method: str) -> set[Spot]:
        """Spots whose rooms say something of a row by a method: asked of one row, once."""
        if method not in self._answered:
            raw = self.store.raw(np.zeros(min(1, self.store.n), np.int64), self.store.types)
            said = (
                {spot: getattr(self.store.types[spot], method)(array) for spot, array in raw.items()}
                if self.store.n
                else {}
            )
            self._answered[method] = {
                spot
                for spot, found in said.items()
                if found is not None and not (isinstance(found, dict) and not found)
            }
        return self._answered[method]

    @cached_property
    def _answered(self) -> dict[str, set[Spot]]:
        return {}

    def affordable(self, slot: Slot, most: int) -> int:
        """How many rows of an input may be read for one look."""
        layout = self.column_type("input", slot).layout
        cell = (
            4096
            if layout.ragged
            else int(
                np.dtype(layout.dtype).itemsize * np.prod([side for side in layout.shape if side is not None])
            )
        )
        return min(most, max(500, MOST_BYTES // cell))

    def cells(self, column: str) -> Sequence[Any] | None:
        """Raw cells of `rows`, or None where the scan did not keep them (pictures)."""
        held = self.scan.sample_rows.get(column, np.empty(0, np.int64))
        at = np.searchsorted(held, self.rows)
        if not len(held) or (held[np.minimum(at, len(held) - 1)] != self.rows).any():
            return None
        sample = self.scan.sample[column]
        return [sample[i] for i in at.tolist()]

    def texts(self, slot: Slot) -> Sequence[Any] | None:
        """Raw cells of `rows` of an input that is text and no column of a plain table, or None."""
        if slot.name in self.plain:
            return None
        cells = self.cells(slot.column)
        return cells if cells is not None and any(isinstance(cell, str) for cell in cells[:100]) else None

    # ---- columns ----

    @property
    def inputs(self) -> tuple[Slot, ...]:
        return self.store.signature.inputs

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self.store.signature.outputs

    def column_type(self, side: str, slot: Slot) -> DataType:
        return self.store.types[side, slot.name]

    @cached_property
    def as_columns(self) -> list[Fact]:
        """Every slot as columns of a plain table, over `rows`; slots that are none (pictures, prose) have no
        fact."""
        return self._as_facts("as_columns", [*self._spots("input"), *self._spots("output")], self.rows)

    @cached_property
    def summary_stats(self) -> list[Fact]:
        """What can be measured of the other inputs, over `trait_rows`."""
        return self._as_facts("summary_stats", self._spots("input"), self.trait_rows)

    @cached_property
    def trait_rows(self) -> np.ndarray:
        """Those of `rows` of which pictures and prose can be read in seconds."""
        most = min(
            (self.affordable(slot, MOST_ROWS) for slot in self.answering("summary_stats")), default=MOST_ROWS
        )
        return self.rows[chosen(len(self.rows), most, "traits")]

    def facts_of(self, side: str, slots: Sequence[Slot], rows: np.ndarray) -> list[Fact]:
        """Facts of some slots, over other rows than `rows`."""
        return self._as_facts("as_columns", [(side, slot.name) for slot in slots], rows)

    def _spots(self, side: str) -> list[Spot]:
        return [(side, slot.name) for slot in (self.inputs if side == "input" else self.outputs)]

    def _as_facts(self, method: str, spots: Sequence[Spot], rows: np.ndarray) -> list[Fact]:
        slots = {("input", slot.name): slot for slot in self.inputs} | {
            ("output", slot.name): slot for slot in self.outputs
        }
        found = self.asked(method, spots, rows)
        return [
            Fact(spot[0], slots[spot], part, np.concatenate([one[part] for one in parts]))
            for spot, parts in found.items()
            for part in parts[0]
        ]

    @cached_property
    def given(self) -> list[Fact]:
        return [fact for fact in self.as_columns if fact.side == "input"]

    @cached_property
    def plain(self) -> set[str]:
        """Names of the inputs that are columns of a plain table."""
        return {fact.slot.name for fact in self.given}

    @cached_property
    def targets(self) -> list[Fact]:
        return [fact for fact in self.as_columns if fact.side == "output"]

    @cached_property
    def ids(self) -> set[str]:
        """Input columns that only number the rows, or say nothing: rows are compared without them."""
        return {*self.id_columns, *self.constant_columns}

    @cached_property
    def id_columns(self) -> list[str]:
        """Input columns that number or name the rows; never the one rows are divided by in time, nor the only
        input."""
        if len(self.inputs) < 2:
            return []
        asked = [fact for fact in self.given if not fact.part and fact.column != self.reading.time]
        numbering = [
            fact.column
            for fact in asked
            if numbers_rows(fact, self.rows, self.distinct_rows, lambda fact: self.cells(fact.column))
        ]
        named = [slot for slot in self.inputs if is_named_like_an_id(slot.column)]
        return numbering + [s.column for s in named if names_rows(self.texts(s), self.distinct_rows)]

    @cached_property
    def constant_columns(self) -> list[str]:
        """Input columns that hold one value, or nothing, in every row."""
        if len(self.rows) < LEAST:
            return []
        columns = [fact.column for fact in self.given if fact.part in ("", "moment") and is_constant(fact)]
        texts = [(slot.column, self.texts(slot)) for slot in self.inputs]
        return columns + [
            column for column, cells in texts if cells is not None and all(cell == cells[0] for cell in cells)
        ]

    @property
    def divided(self) -> bool:
        """Do data or user say which rows train and which test, at least some of them? Otherwise chance
        does."""
        return bool((self.scan.named >= 0).any() or self.reading.group or self.reading.time)

    # ---- rows by value ----

    @cached_property
    def keys(self) -> np.ndarray:
        """(n,) uint64 of each row's inputs, columns that only number rows left out: equal rows have equal
        keys."""
        used = [slot.column for slot in self.inputs if slot.column not in self.ids]
        return self.scan.hashes if len(used) in (0, len(self.inputs)) else self.hashes(used)

    @property
    def answers(self) -> np.ndarray:
        """(n,) uint64 of each row's target cells."""
        assert self.scan.strata is not None
        return self.scan.strata

    def hashes(self, columns: Sequence[str]) -> np.ndarray:
        """(n,) uint64 of the cells of some columns: one pass over the source."""
        found: list[int] = []
        for chunk in self.source.chunks():
            found += map(hash_of, zip(*(chunk.columns[name] for name in columns), strict=True))
        return np.array(found, np.uint64)

    @cached_property
    def repeats_are_natural(self) -> bool:
        """Are rows described by so few different values that equal ones must occur? Their collision entropy,
        as if columns were independent, is then below that of as many random rows; or most rows have an
        equal, and no column tells most of the different ones apart: else they are copies."""
        facts = [fact for fact in self.given if fact.column not in self.ids]
        apart = np.unique(self.keys[self.rows], return_index=True)[1]
        bits = sum(_collision_bits(fact.values[apart]) for fact in facts) + 64.0 * sum(
            slot.name not in self.plain for slot in self.inputs
        )
        used = self.keys[self.split_of >= 0]
        telling = max((len(np.unique(fact.values[apart])) for fact in facts), default=0) > 0.5 * len(apart)
        most_repeat = len(np.unique(used)) < 0.5 * len(used)
        return bits < 2 * np.log2(max(2, len(used))) + BITS or (most_repeat and not telling)


def hash_of(cells: Sequence[Any]) -> int:
    """Of a row's cells; an unreadable file counts by its name."""
    try:
        return hash64(cells)
    except OSError:
        return hash64([str(cell) for cell in cells])


def _collision_bits(values: np.ndarray) -> float:
    """-log2 of the share of pairs of rows that are equal in a column (half a pair is added, so that it is
    never none)."""
    counts = np.unique(values, return_counts=True, equal_nan=True)[1] if len(values) else np.empty(0)
    pairs = len(values) * (len(values) - 1) / 2
    return float(-np.log2(((counts * (counts - 1)).sum() / 2 + 0.5) / pairs)) if pairs else 0.0


def chosen(rows: int, most: int, *name: Any) -> np.ndarray:
    """At most `most` of `rows` positions, in order: a keyed sample."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(key("checks", rows, *name)).choice(rows, most, replace=False))


def listed(columns: Sequence[str], most: int = 6) -> str:
    """'a', 'b' and 3 more."""
    return ", ".join(f"'{name}'" for name in columns[:most]) + (
        f" and {len(columns) - most} more" if len(columns) > most else ""
    )


def to_drop(columns: Sequence[str]) -> str:
    """The flag that leaves columns out, as it is typed."""
    import shlex

    return f"--drop {shlex.quote(','.join(columns))}"


def plural(count: int, what: str) -> str:
    """1 row, 2 rows, 1,000 rows."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
