"""Numbers that stand for "not known" (-9999, 999999), and single ones so far out that they make up the
spread."""

from __future__ import annotations

import re

import numpy as np

from mapsto.checks._columns import LEAST, Fact
from mapsto.checks.base import Evidence, Finding, plural

NINES = re.compile(r"-?99+")
TIMES = 10.0  # as large is the spread with a few values than without: they make it up
FEW = 0.001  # share of the values that are "a few", one at least


def look(evidence: Evidence) -> list[Finding]:
    found = []
    for fact in evidence.as_columns:
        if not fact.ordered or fact.part or fact.known.sum() < LEAST:
            continue
        value = _sentinel(fact.values[fact.known])
        finding = _far_out(evidence, fact) if value is None else _not_known(evidence, fact, value)
        found += [] if finding is None else [finding]
    return found


def _sentinel(values: np.ndarray) -> float | None:
    """The smallest or largest value, where it is written in nines and lies further from all others than they
    from each other."""
    distinct = np.unique(values)
    if len(distinct) < 3:
        return None
    for value, rest in ((distinct[-1], distinct[:-1]), (distinct[0], distinct[1:])):
        if not NINES.fullmatch(f"{value:.10g}"):
            continue
        if min(abs(value - rest[0]), abs(value - rest[-1])) > max(np.ptp(rest), 1.0):
            return float(value)
    return None


def _not_known(evidence: Evidence, fact: Fact, value: float) -> Finding:
    rows = evidence.rows[fact.values == value]
    others = fact.values[fact.known & (fact.values != value)]
    what = (
        f"'{fact.column}' holds {value:.10g} in {plural(len(rows), 'row')}, far from its other values"
        f' ({others.min():.4g} to {others.max():.4g}): likely "not known"{evidence.said_rows}'
    )
    effect = "read as a quantity it moves the column's mean and spread"
    fix = f"{fact.slot.name}:{fact.slot.type}(missing={value:.10g})"
    where = tuple(rows[:5].tolist())
    return Finding("not known", "warn", what, effect, fix, (fact.column,), len(rows), where)


def _far_out(evidence: Evidence, fact: Fact) -> Finding | None:
    """A few values that make up the spread of all."""
    values = fact.values[fact.known]
    few = max(1, int(FEW * len(values)))
    apart = np.abs(values - np.median(values))
    order = np.argsort(apart, kind="stable")
    rest, far = values[order[:-few]], values[order[-few:]]
    if not rest.std() or values.std() < TIMES * rest.std():
        return None
    if apart[order[-few]] < TIMES * apart[order[:-few]].max():
        far = far[np.abs(far - np.median(values)) >= TIMES * apart[order[:-few]].max()]
    if not len(far):
        return None
    rows = evidence.rows[np.isin(fact.values, far)]
    told = f"{far[-1]:.4g}" + (f" and {len(far) - 1} more" if len(far) > 1 else "")
    what = (
        f"'{fact.column}' holds {told}, far from its other values ({rest.min():.4g} to {rest.max():.4g})"
        f"{evidence.said_rows}"
    )
    effect = f"the spread of the column is {values.std() / rest.std():,.0f} times that of the other values"
    log = f"{fact.slot.name}:{fact.slot.type}(log=true)"
    fix = f"mend or leave out such rows, or {log}"
    level = "warn" if fact.side == "output" else "note"
    return Finding("far out", level, what, effect, fix, (fact.column,), len(rows), tuple(rows[:5].tolist()))
