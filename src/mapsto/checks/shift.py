"""Do test rows come from where training rows come from? Column by column, and by a linear model that tries to
tell them apart."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from mapsto.checks.base import Evidence, Fact, Finding, chosen, listed, to_drop
from mapsto.measure.linear import logistic

LARGE, SOME = 0.25, 0.12  # greatest difference between the two distributions: worth a warning, worth knowing
CHANCE = 1e-6  # over all columns: how likely such a difference is between parts of one whole
LEAST = 30  # rows on each side
TOLD, SUSPECT = 0.75, 0.65  # area under the curve of the model: worth a warning, worth knowing
PENALTY, STEPS = 100.0, 60  # over all rows, and steps, of the model
SIDE = 1_000  # rows of each side it sees
EFFECT = "test figures tell of other data than was learned from"


def look(evidence: Evidence) -> list[Finding]:
    found = []
    moved = _columns(evidence)
    for level, low, high in (("warn", LARGE, 2.0), ("note", SOME, LARGE)):
        facts = {fact: size for fact, size in moved if low <= size < high}
        if facts:
            found.append(_finding(evidence, level, facts))
    if not moved and evidence.divided:
        found += _by_model(evidence)
    return found


def _finding(evidence: Evidence, level: str, facts: dict[Fact, float]) -> Finding:
    columns = list(dict.fromkeys(fact.column for fact in facts))
    worst = max(facts, key=lambda fact: facts[fact])
    told = str(worst) if len(facts) == 1 else f"{listed(columns)}, most of all {worst},"
    verb, size = "is" if len(facts) == 1 else "are", f"{facts[worst]:.0%}"
    what = (
        f"{told} {verb} spread differently in test than in training (by {size} of the"
        f" rows){evidence.said_rows}"
    )
    effect = EFFECT
    inputs = [column for column in columns if any(slot.column == column for slot in evidence.inputs)]
    fix = (
        "let mapsto divide the rows: give them together, without --test"
        if evidence.divided
        else f"{to_drop(inputs)}"
        if inputs
        else ""
    )
    if evidence.reading.time:
        level, effect, fix = "note", "as time passes columns drift; that is what --time measures", ""
    return Finding(
        "shift",
        level,
        what,
        effect,
        fix,
        tuple(columns),
        len(columns),
        figures={str(fact): round(size, 4) for fact, size in facts.items()},
    )


def _columns(evidence: Evidence) -> list[tuple[Fact, float]]:
    """Facts and traits whose distributions differ by more than chance, with how much."""
    asked = [
        (fact, evidence.rows)
        for fact in evidence.as_columns
        if fact.column not in evidence.ids and fact.column != evidence.reading.time
    ]
    asked += [(fact, evidence.trait_rows) for fact in evidence.summary_stats]
    found = []
    for fact, rows in asked:
        of = evidence.split_of[rows]
        train, test = fact.values[of == 0], fact.values[of == 2]
        if min(len(train), len(test)) < LEAST:
            continue
        size = max(_missing_apart(train, test), _apart(train, test))
        effective = len(train) * len(test) / (len(train) + len(test))
        if size >= SOME and 2 * np.exp(-2 * size**2 * effective) * len(asked) < CHANCE:
            found.append((fact, size))
    return found


def _missing_apart(train: np.ndarray, test: np.ndarray) -> float:
    """Difference between the shares of missing cells."""
    shares = [
        np.isnan(side).mean() if side.dtype.kind == "f" else (side == -1).mean() for side in (train, test)
    ]
    return float(abs(shares[0] - shares[1]))


def _apart(train: np.ndarray, test: np.ndarray) -> float:
    """Kolmogorov and Smirnov's distance where values have an order; else the total variation, less what
    chance would give it."""
    if train.dtype.kind == "f":
        train, test = np.sort(train[~np.isnan(train)]), np.sort(test[~np.isnan(test)])
        if min(len(train), len(test)) < LEAST:
            return 0.0
        both = np.concatenate([train, test])
        return float(
            np.abs(
                np.searchsorted(train, both, "right") / len(train)
                - np.searchsorted(test, both, "right") / len(test)
            ).max()
        )
    train, test = train[train != -1], test[test != -1]
    if min(len(train), len(test)) < LEAST:
        return 0.0
    codes = np.unique(np.concatenate([train, test]), return_inverse=True)[1]
    p, q = (
        np.bincount(side, minlength=codes.max() + 1) / len(side)
        for side in (codes[: len(train)], codes[len(train) :])
    )
    chance = (
        0.5 * np.sqrt(2 / np.pi * (p + q) / 2 * (1 / len(train) + 1 / len(test))).sum()
    )  # mean of |p - q| under one distribution
    return float(max(0.0, 0.5 * np.abs(p - q).sum() - chance))


def _by_model(evidence: Evidence) -> list[Finding]:
    """Can a linear model tell training from test pictures or texts that it has not seen?"""
    found = []
    for slot in evidence.answering("similarity_embedding"):
        spot = ("input", slot.name)
        rows = [evidence.store.rows(name) for name in ("train", "test")]
        train, test = (
            of[chosen(len(of), evidence.affordable(slot, SIDE), name)]
            for of, name in zip(rows, ("train", "test"), strict=True)
        )
        if min(len(train), len(test)) < 5 * LEAST:
            continue
        area = _area(
            *(
                np.concatenate(evidence.asked("similarity_embedding", [spot], side)[spot])
                for side in (train, test)
            )
        )
        if area >= SUSPECT:
            what = (
                f"'{slot.column}' tells test from training rows: a linear model does so with an area under"
                f" the curve of {area:.2f} (.50 is chance)"
            )
            fix = "let mapsto divide the rows: give them together, without --test"
            level = "warn" if area >= TOLD else "note"
            found.append(
                Finding("shift", level, what, EFFECT, fix, (slot.column,), 1, figures={"auc": round(area, 4)})
            )
    return found


def _area(train: np.ndarray, test: np.ndarray) -> float:
    """Area under the curve on halves not learned from, each half once."""
    values = np.concatenate([train, test])
    side = np.repeat([0, 1], [len(train), len(test)])
    half = np.random.default_rng(0).permutation(len(values)) % 2
    scores = np.empty(len(values))
    with threadpool_limits(1):
        for part in (0, 1):
            learn, ask = half != part, half == part
            centre, spread = values[learn].mean(0), values[learn].std(0)
            scaled = np.clip((values - centre) / np.where(spread > 1e-6, spread, np.inf), -5, 5)
            weight = 1 / np.bincount(side[learn])[side[learn]]  # both sides count alike
            line = logistic(scaled[learn], side[learn], PENALTY / learn.sum(), STEPS, weight)
            scores[ask] = np.argsort(np.argsort(line(scaled[ask])[:, 1])) / ask.sum()
    order = np.argsort(np.argsort(scores))
    positive = side == 1
    return float(
        (order[positive].sum() - positive.sum() * (positive.sum() - 1) / 2)
        / (positive.sum() * (~positive).sum())
    )
