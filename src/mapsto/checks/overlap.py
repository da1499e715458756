"""Passages of texts held back that also stand, word for word, in texts that are learned from: what is
remembered need not be understood.

Runs of so many tokens that hardly recur by chance (`DataType.passage`) are hashed; a sample of those held
back is looked for in the training text, which goes by once in pieces.
"""

from __future__ import annotations

import numpy as np

from mapsto.checks.base import Evidence, Finding
from mapsto.signature import Slot

MANY = 0.01  # share of the runs held back that is worth a warning


def look(evidence: Evidence) -> list[Finding]:
    return [found for slot in evidence.outputs if (found := _of(evidence, slot)) is not None]


def _of(evidence: Evidence, slot: Slot) -> Finding | None:
    length, store = evidence.column_type("output", slot).overlap_length, evidence.store
    if not length or not store.size("train"):
        return None
    from mapsto.checks._passages import occurring, pieces, sampled

    values, offsets = store.flat(("output", slot.name))
    splits = [split for split in ("validation", "test") if store.size(split)]
    held = [sampled(values, offsets, store.rows(split), length) for split in splits]
    asked = np.unique(np.concatenate(held)) if held else np.empty(0, np.uint64)
    if not len(asked):
        return None
    found = occurring(asked, pieces(values, offsets, store.rows("train"), length))
    shares = {
        split: float(found[np.searchsorted(asked, one)].mean())
        for split, one in zip(splits, held, strict=True)
        if len(one)
    }
    said = " and ".join(f"{share:.1%} of the {split} text's" for split, share in shares.items())
    what = f"{said} runs of {length} tokens also stand in the training text"
    if not any(shares.values()):
        return None
    level = "warn" if max(shares.values()) >= MANY else "note"
    effect = (
        "what is remembered flatters the figures: they say less of new text"
        if level == "warn"
        else "so few that the figures are of new text"
    )
    fix = (
        "take repeated passages out, or keep what belongs together on one side (--group COLUMN)"
        if level == "warn"
        else "nothing to do"
    )
    count = round(max(shares.values()) * len(asked))
    return Finding(
        "overlap", level, what, effect, fix, (slot.column,), count, figures={"tokens": length, **shares}
    )
