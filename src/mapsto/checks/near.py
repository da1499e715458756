"""Near duplicates across splits: the same picture saved again, a text with a word changed. A hash of the cells does not see them.

A row held back is one when a training row is very close to it, and much closer than its sixth nearest: digits of one hand and shirts
of one cut are close to many, a copy to one. Which closeness counts is the room's (`likeness`, `alike`).
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from mapsto.checks.base import Evidence, Finding, chosen, plural
from mapsto.signature import Slot

MOST_HELD, MOST_TRAIN = 4_000, 30_000  # rows compared
NEIGHBOURS = 6
FEW, LEAST, MANY = 0.08, 10, 100  # share of the rows held back up to which the figures hardly move, and rows; rows that are many in any case
PIECE = 512


def look(evidence: Evidence) -> list[Finding]:
    return [finding for slot in evidence.inputs if (finding := _of(evidence, slot))]


def _of(evidence: Evidence, slot: Slot) -> Finding | None:
    held, train, asked = rows_of(evidence, slot)
    pairs = pairs_of(evidence, slot, held, train)
    if not pairs:
        return None
    used = f" (looked at {len(held):,} of {asked:,})" if len(held) < asked else ""
    verb = "has" if len(pairs) == 1 else "have"
    what = f"{plural(len(pairs), 'row')} of {len(held):,} held back {verb} a near duplicate of '{slot.column}' in training{used}"
    effect = "such rows are remembered: the test figures flatter"
    fix = "mapsto check DATA --fix OUT (takes them out of training), or keep what belongs together on one side: --group COLUMN"
    level = "warn" if len(pairs) > max(LEAST, FEW * len(held)) or len(pairs) * asked / len(held) >= MANY else "note"
    where = [row for pair in pairs[:3] for row in pair[:2]]
    return Finding("near duplicates", level, what, effect, fix, (slot.column,), len(pairs), tuple(where))


def rows_of(evidence: Evidence, slot: Slot) -> tuple[np.ndarray, np.ndarray, int]:
    """Test rows (validation rows where there are none), the rows that are learned from or chosen by, and how many there are of the first."""
    split = "test" if evidence.store.size("test") else "validation"
    others = ("train", "validation") if split == "test" else ("train",)
    held, train = evidence.store.rows(split), np.concatenate([evidence.store.rows(name) for name in others])
    most = evidence.affordable("input", slot, MOST_TRAIN)
    return held[chosen(len(held), min(most, MOST_HELD), "held")], train[chosen(len(train), most, "train")], len(held)


def pairs_of(evidence: Evidence, slot: Slot, held: np.ndarray, train: np.ndarray) -> list[tuple[int, int]]:
    """(row held back, row learned from) of near duplicates of a slot that are not equal in all inputs."""
    if len(train) <= NEIGHBOURS or not len(held):
        return []
    marks = [np.concatenate(parts) if (parts := evidence.asked("likeness", "input", slot, rows)) else None for rows in (held, train)]
    if marks[0] is None or marks[1] is None:
        return []
    least, most = evidence.room("input", slot).alike
    found = []
    with threadpool_limits(1):
        for low in range(0, len(held), PIECE):
            cosine = marks[0][low : low + PIECE] @ marks[1].T  # (piece, train)
            near = np.argpartition(-cosine, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
            values = np.take_along_axis(cosine, near, 1)
            distance = np.sqrt(np.maximum(2 - 2 * values, 0))
            first = values.argmax(1)
            close = (values.max(1) >= least) & (distance.min(1) <= most * distance.max(1))
            found += [(int(held[low + i]), int(train[near[i, first[i]]])) for i in np.flatnonzero(close)]
    keys = evidence.keys
    return [(a, b) for a, b in found if keys[a] != keys[b]]
