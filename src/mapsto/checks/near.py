"""Near duplicates across splits: the same picture saved again, a text with a word changed, a row written
otherwise ("1" and "1.0"). A hash of the cells does not see them.

A picture or text held back is one when a row that is learned from is very close to it, and much closer than
its sixth nearest: digits of one hand and shirts of one cut are close to many, a copy to one. Which closeness
counts is the room's (`likeness`, `alike`).
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from mapsto.checks.base import Evidence, Finding, chosen, plural
from mapsto.signature import Slot

MOST_HELD, MOST_TRAIN = 4_000, 30_000  # rows compared
NEIGHBOURS = 6
FEW, LEAST, MANY = (
    0.08,
    10,
    100,
)  # share of the rows held back up to which the figures hardly move, and rows; rows that are many in any case
DIGITS = 6  # of a number that count when rows are compared by value
CELLS = 1 << 21  # cosines held at once

Pairs = list[tuple[int, int]]  # (row held back, row learned from)


def look(evidence: Evidence) -> list[Finding]:
    found = [
        finding
        for slot in evidence.answering("similarity_embedding")
        if (finding := _told(evidence, slot, pairs_of(evidence, slot)))
    ]
    by_value = None if found else _told(evidence, None, pairs_by_value(evidence))
    return [*found, by_value] if by_value else found


def _told(evidence: Evidence, slot: Slot | None, pairs: Pairs) -> Finding | None:
    if not pairs:
        return None
    held, _, asked = _rows(evidence, MOST_TRAIN if slot is None else evidence.affordable(slot, MOST_TRAIN))
    used = f" (looked at {len(held):,} of {asked:,})" if len(held) < asked else ""
    verb, of = "has" if len(pairs) == 1 else "have", f"of '{slot.column}' " if slot else ""
    what = (
        f"{plural(len(pairs), 'row')} of {len(held):,} held back {verb} a near duplicate {of}in"
        f" training{used}"
    )
    effect = "such rows are remembered: the test figures flatter"
    fix = (
        "mapsto check DATA --fix OUT (takes them out of training), or keep what belongs together on one side:"
        " --group COLUMN"
    )
    level = (
        "warn"
        if len(pairs) > max(LEAST, FEW * len(held)) or len(pairs) * asked / len(held) >= MANY
        else "note"
    )
    rows = tuple(row for pair in pairs[:3] for row in pair[:2])
    return Finding(
        "near duplicates", level, what, effect, fix, (slot.column,) if slot else (), len(pairs), rows
    )


def _rows(evidence: Evidence, most: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Test rows (validation rows where there are none), the rows that are learned from or chosen by, and how
    many there are of the first."""
    split = "test" if evidence.store.size("test") else "validation"
    others = ("train", "validation") if split == "test" else ("train",)
    held, train = evidence.store.rows(split), np.concatenate([evidence.store.rows(name) for name in others])
    return (
        held[chosen(len(held), min(most, MOST_HELD), "held")],
        train[chosen(len(train), most, "train")],
        len(held),
    )


def pairs_of(evidence: Evidence, slot: Slot) -> Pairs:
    """Near duplicates of one slot's cells, in rows that are not equal as they stand."""
    held, train, _ = _rows(evidence, evidence.affordable(slot, MOST_TRAIN))
    if len(train) <= NEIGHBOURS or not len(held):
        return []
    spot = ("input", slot.name)
    marks = [
        np.concatenate(evidence.asked("similarity_embedding", [spot], rows)[spot]) for rows in (held, train)
    ]
    least, most = evidence.column_type("input", slot).duplicate_thresholds
    found = []
    with threadpool_limits(1):
        size = max(1, CELLS // len(train))
        for low in range(0, len(held), size):
            cosine = marks[0][low : low + size] @ marks[1].T  # (piece, train)
            like = np.flatnonzero(cosine.max(1) >= least)  # few, so that only these are looked at closer
            cosine = cosine[like]
            near = np.argpartition(-cosine, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
            values = np.take_along_axis(cosine, near, 1)
            distance = np.sqrt(np.maximum(2 - 2 * values, 0))
            first = values.argmax(1)
            close = distance.min(1) <= most * distance.max(1)
            found += [
                (int(held[low + like[i]]), int(train[near[i, first[i]]])) for i in np.flatnonzero(close)
            ]
    return [(a, b) for a, b in found if evidence.keys[a] != evidence.keys[b]]


def pairs_by_value(evidence: Evidence) -> Pairs:
    """Rows of a plain table that hold the same values, numbers to DIGITS, though they are not written
    alike."""
    slots = [slot for slot in evidence.inputs if slot.column not in evidence.ids]
    if not slots or evidence.repeats_are_natural or {slot.name for slot in slots} - evidence.plain:
        return []
    held, train, _ = _rows(evidence, MOST_TRAIN)
    values = {int(train[i]): value for i, value in enumerate(_values(evidence, slots, train)) if value}
    place = {value: row for row, value in values.items()}
    pairs = [
        (int(row), place[value])
        for row, value in zip(held, _values(evidence, slots, held), strict=True)
        if value in place
    ]
    return [(a, b) for a, b in pairs if evidence.keys[a] != evidence.keys[b]]


def _values(evidence: Evidence, slots: list[Slot], rows: np.ndarray) -> list[bytes]:
    """Each row's values as bytes; b"" where one of them is not told apart from others."""
    facts = evidence.facts_of("input", slots, rows)
    columns = [_rounded(fact.values) if fact.ordered else fact.values.astype(np.float64) for fact in facts]
    table = np.ascontiguousarray(np.stack(columns, 1)) if columns else np.empty((len(rows), 0))
    vague = np.zeros(len(rows), bool)
    for fact in facts:
        vague |= False if fact.ordered else fact.values == -2
    return [b"" if is_vague else row.tobytes() for row, is_vague in zip(table, vague.tolist(), strict=True)]


def _rounded(values: np.ndarray) -> np.ndarray:
    """To DIGITS significant digits; every nan and zero alike."""
    size = np.floor(
        np.log10(np.abs(values), where=(values != 0) & np.isfinite(values), out=np.zeros_like(values))
    )
    scale = 10.0 ** (DIGITS - 1 - size)
    return np.nan_to_num(np.rint(values * scale) / scale, nan=-1e300) + 0.0
