"""Equal rows: test rows that also train, and rows that train more than once."""

from __future__ import annotations

import numpy as np

from mapsto.checks.base import Evidence, Finding, plural

FEW = 0.005  # share of test rows below which the figures hardly move
MANY = 0.25  # share of training rows above which repeats weigh on what is learned


def look(evidence: Evidence) -> list[Finding]:
    return [*_across(evidence), *_inside(evidence)] if evidence.inputs else []


def _across(evidence: Evidence) -> list[Finding]:
    """Rows held back whose inputs also stand where is learned and chosen."""
    found = []
    for split, others in (("test", ("train", "validation")), ("validation", ("train",))):
        held = evidence.store.rows(split)
        there = np.concatenate([evidence.keys[evidence.store.rows(name)] for name in others])
        seen = held[np.isin(evidence.keys[held], there)]
        if not len(seen):
            continue
        natural = evidence.repeats_are_natural
        few = len(seen) <= FEW * len(held) or natural
        places = "training" + (
            " or validation" if "validation" in others and evidence.store.size("validation") else ""
        )
        what = (
            f"{plural(len(seen), f'{split} row')} of {len(held):,} {'has' if len(seen) == 1 else 'have'}"
            f" inputs that also stand in {places}"
        )
        effect = (
            "rows are described by few values, so equal ones must occur"
            if natural
            else f"the {split} figures flatter: such rows are remembered"
        )
        fix = "mapsto check DATA --fix OUT (takes them out of training)"
        found.append(
            Finding(
                "duplicates across splits",
                "note" if few else "warn",
                what,
                effect,
                fix,
                (),
                len(seen),
                tuple(seen[:5].tolist()),
            )
        )
    return found


def _inside(evidence: Evidence) -> list[Finding]:
    """Training rows equal to an earlier one, targets too."""
    rows = evidence.store.rows("train")
    both = evidence.keys[rows] ^ _spread(evidence.answers[rows])
    first = np.unique(both, return_index=True)[1]
    again = np.delete(rows, first)
    if not len(again):
        return []
    natural = evidence.repeats_are_natural
    what = (
        f"{plural(len(again), 'training row')} of {len(rows):,} {'repeats' if len(again) == 1 else 'repeat'}"
        " an earlier one"
    )
    effect = (
        "rows are described by few values, so equal ones must occur"
        if natural
        else "repeated rows weigh more in what is learned"
    )
    level = "warn" if len(again) > MANY * len(rows) and not natural else "note"
    return [
        Finding(
            "duplicates",
            level,
            what,
            effect,
            "mapsto check DATA --fix OUT",
            (),
            len(again),
            tuple(again[:5].tolist()),
        )
    ]


def _spread(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
