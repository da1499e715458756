"""Answers: one only, classes with hardly a row, one that drowns the others."""

from __future__ import annotations

import numpy as np

from mapsto.checks.base import Evidence, Fact, Finding, plural
from mapsto.signature import Slot

RARE = 5  # training rows below which a class cannot be learned
RATIO, SOME = 20, 5  # of the most to the least frequent class: worth a warning, worth knowing


def look(evidence: Evidence) -> list[Finding]:
    found: list[Finding] = []
    for slot in evidence.outputs:
        names = evidence.column_type("output", slot).classes
        every = evidence.facts_of("output", [slot], evidence.store.rows("train"))
        facts = [fact for fact in every if not fact.ordered]
        if every and all(map(_is_one, every)):
            found.append(_one_answer(slot, every[0], names))
        elif len(facts) == 1 and not facts[0].part:
            found += _one_of_several(
                evidence,
                slot,
                names,
                np.bincount(facts[0].values[facts[0].values >= 0], minlength=len(names)),
            )
        elif facts:
            found += _labels(slot, [(fact.part, fact.values) for fact in facts])
    return found


def _is_one(fact: Fact) -> bool:
    """Do all training rows whose answer is known have the same?"""
    return len(np.unique(fact.values[fact.known])) == 1


def _one_answer(slot: Slot, fact: Fact, names: tuple[str, ...]) -> Finding:
    value = fact.values[fact.known][0]
    told = f"{value:g}" if fact.ordered else names[int(value)] if not fact.part and names else "the same"
    return Finding(
        "one-answer",
        "stop",
        f"every training row has the same '{slot.column}' ({told}): there is nothing to tell apart",
        "any figure would be perfect, and say nothing",
        "--target another column, or add rows; or, to train all the same, --allow one-answer",
        (slot.column,),
        int(fact.known.sum()),
    )


def _one_of_several(
    evidence: Evidence, slot: Slot, names: tuple[str, ...], counts: np.ndarray
) -> list[Finding]:
    if not counts.any():
        return []
    found = []
    rare = [k for k in np.argsort(counts, kind="stable").tolist() if counts[k] < RARE]
    if rare:
        told = ", ".join(f"{names[k]} ({counts[k]})" for k in rare[:5]) + (", …" if len(rare) > 5 else "")
        verb = "have" if len(rare) > 1 else "has"
        what = f"{len(rare):,} of {len(counts):,} classes {verb} fewer than {RARE} training rows: {told}"
        fix = "add rows, or leave out or join such classes"
        rows = _rows_of(evidence, slot, rare[0])
        level = "warn" if len(rare) < 0.5 * len(counts) or len(counts) < 20 else "note"
        found.append(
            Finding(
                "few rows",
                level,
                what,
                "they will hardly be recognised",
                fix,
                (slot.column,),
                len(rare),
                rows,
            )
        )
    found += _untested(evidence, slot, names, counts)
    found += _uneven(slot, names, counts)
    return found


def _untested(evidence: Evidence, slot: Slot, names: tuple[str, ...], counts: np.ndarray) -> list[Finding]:
    """Classes that are learned and of which no test row is: by chance, in large sets, where rows are divided
    without regard to classes."""
    facts = evidence.facts_of("output", [slot], evidence.store.rows("test"))
    tested = np.bincount(facts[0].values[facts[0].values >= 0], minlength=len(names)) if facts else counts
    missed = np.flatnonzero((counts > 0) & (tested == 0)).tolist()
    if not missed or not tested.any():
        return []
    told = ", ".join(f"{names[k]} ({counts[k]})" for k in missed[:5]) + (", …" if len(missed) > 5 else "")
    verb = "stand" if len(missed) > 1 else "stands"
    return [
        Finding(
            "untested classes",
            "warn" if len(missed) < 0.5 * len(counts) else "note",
            f"{len(missed):,} of {len(counts):,} classes {verb} in no test row, of training rows: {told}",
            "the test figures say nothing of them",
            "add rows, or divide them in another way: --split-seed 1, --folds 5",
            (slot.column,),
            len(missed),
        )
    ]


def _uneven(slot: Slot, names: tuple[str, ...], counts: np.ndarray) -> list[Finding]:
    """Imbalance; where very many classes share the rows, the common against the middle one, since a tail is
    natural."""
    least = counts[counts > 0].min() if len(counts) <= 20 else np.median(counts[counts > 0])
    ratio = counts.max() / least
    if ratio < SOME:
        return []
    share = counts.max() / counts.sum()
    top, other = names[int(counts.argmax())], "least" if len(counts) <= 20 else "middle"
    what = (
        f"'{slot.column}' is uneven: {share:.1%} of the training rows are {top}, {ratio:,.0f} times the"
        f" {other} frequent class"
    )
    effect = f"always saying {top} is right in {share:.1%}: look at balanced_accuracy, not accuracy"
    fix = f"{slot.name}:category(balance=true), or --metric balanced_accuracy"
    return [
        Finding(
            "imbalance",
            "warn" if ratio >= RATIO else "note",
            what,
            effect,
            fix,
            (slot.column,),
            int(counts.max()),
            figures={"ratio": float(ratio)},
        )
    ]


def _labels(slot: Slot, labels: list[tuple[str, np.ndarray]]) -> list[Finding]:
    """Labels that hold for hardly a row, or for nearly all."""
    held = {name: int((values == 1).sum()) for name, values in labels}
    absent = {name: int((values == 0).sum()) for name, values in labels}
    rare = [name for name in held if min(held[name], absent[name]) < RARE]
    if not rare:
        return []
    told = ", ".join(
        f"{name} ({held[name]} of {plural(held[name] + absent[name], 'row')})" for name in rare[:5]
    ) + (", …" if len(rare) > 5 else "")
    what = (
        f"{len(rare):,} of {plural(len(labels), 'label')} of '{slot.column}' hold for hardly any training"
        f" row, or for all: {told}"
    )
    return [
        Finding(
            "few rows",
            "warn",
            what,
            "they will hardly be recognised",
            "add rows, or leave such labels out",
            (slot.column,),
            len(rare),
        )
    ]


def _rows_of(evidence: Evidence, slot: Slot, k: int) -> tuple[int, ...]:
    rows = evidence.store.rows("train")
    return tuple(rows[np.flatnonzero(evidence.facts_of("output", [slot], rows)[0].values == k)[:5]].tolist())
