"""Equal inputs with different answers: at most one of them is right, and no net can give both."""

from __future__ import annotations

import numpy as np

from mapsto.checks.base import Evidence, Fact, Finding, plural
from mapsto.signature import Slot

FEW = 0.005  # share of rows below which it hardly matters


def look(evidence: Evidence) -> list[Finding]:
    if not evidence.inputs:
        return []
    rows, groups = candidates(evidence)
    return (
        [finding for slot in evidence.outputs if (finding := _of(evidence, slot, rows, groups))]
        if len(rows)
        else []
    )


def candidates(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """(rows (k,) whose inputs stand elsewhere with another answer, their group (k,))."""
    used = np.flatnonzero(evidence.split_of >= 0)
    _, group = np.unique(evidence.keys[used], return_inverse=True)
    pairs = np.unique(np.stack([group.astype(np.uint64), evidence.answers[used]], 1), axis=0)[:, 0].astype(
        np.int64
    )
    several = np.bincount(pairs, minlength=group.max() + 1 if len(group) else 0) > 1
    taken = several[group]
    return used[taken], group[taken]


def apart(evidence: Evidence) -> np.ndarray:
    """Every row whose inputs stand elsewhere with another class or label; numbers may differ."""
    rows, groups = candidates(evidence)
    found = np.zeros(len(rows), bool)
    for slot in evidence.outputs:
        for fact in evidence.facts_of("output", [slot], rows) if len(rows) else ():
            found |= np.zeros(len(rows), bool) if fact.ordered else _differing(fact, groups)[0]
    return rows[found]


def _of(evidence: Evidence, slot: Slot, rows: np.ndarray, groups: np.ndarray) -> Finding | None:
    """What one output's answers say of the rows that share their inputs."""
    facts = evidence.facts_of("output", [slot], rows)
    apart = np.zeros(len(rows), bool)
    wrong = 0
    for fact in facts:
        differ, errors = _differing(fact, groups)
        apart |= differ
        wrong += errors
    count = int(apart.sum())
    if not count:
        return None
    numbers = any(fact.ordered for fact in facts)
    natural = evidence.repeats_are_natural
    few = count <= max(2, FEW * int((evidence.split_of >= 0).sum())) or natural or numbers
    what = f"{plural(count, 'row')} share their inputs with a row of another '{slot.column}'"
    effect = (
        "rows are described by few values, so this is the part that cannot be foreseen"
        if natural
        else "no prediction can be right for all of them"
        + ("" if numbers else f": at least {plural(wrong, 'label')} must be wrong")
    )
    fix = "" if natural else "mend the labels, or take such rows out: mapsto check DATA --fix OUT"
    order = rows[apart][np.argsort(groups[apart], kind="stable")]
    return Finding(
        "contradictions",
        "note" if few else "warn",
        what,
        effect,
        fix,
        (slot.column,),
        count,
        tuple(order[:4].tolist()),
    )


def _differing(fact: Fact, groups: np.ndarray) -> tuple[np.ndarray, int]:
    """((k,) bool: rows of groups with several answers, how many answers cannot be right)."""
    known = fact.known
    values = np.full(len(groups), -1, np.int64)
    values[known] = np.unique(fact.values[known], return_inverse=True)[1]
    table, counts = np.unique(np.stack([groups[known], values[known]], 1), axis=0, return_counts=True)
    _, first, answers = np.unique(table[:, 0], return_index=True, return_counts=True)
    bad = table[first[answers > 1], 0]
    inside = np.isin(table[:, 0], bad)
    most = np.maximum.reduceat(counts, first) if len(first) else counts
    errors = int(counts[inside].sum() - most[answers > 1].sum())
    return known & np.isin(groups, bad), errors
