"""Marks within a cell that give the class away: a word that stands in all texts of a class and in no other, a
pixel that differs by class.

A label that was pasted into its own input is found so, and so are watermarks. A word that is the class's
name, or stands at one place like a field of a record, stops the training; other words, and pictures of which
a large part tells the class, may be what is to be learned.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from mapsto.checks.base import Evidence, Fact, Finding, chosen, listed, plural
from mapsto.checks.leakage import ALLOW, LEARNED
from mapsto.measure.dependency import LEAST, MINOR, codes_of, determines
from mapsto.signature import Slot

Cells = TypeVar("Cells")
WORD = re.compile(r"[^\W_]+")
NAMES = re.compile(r"(label|class|target|category|y|cls)?(.*)")
MOST_TEXTS, MOST_PICTURES = 5_000, 3_000
MOST_LETTERS = 20_000  # of a text that are looked at
RECORD = 4  # words in the middle cell up to which it is a record, such as an id, rather than prose
FIRST = 500  # rows in which every place is looked at
SMALL, LARGE = (
    0.01,
    0.05,
)  # share of a picture's places up to which they are a mark; beyond the second they are the picture


def look(evidence: Evidence) -> list[Finding]:
    found: list[Finding | None] = []
    targets = [
        target
        for target in evidence.targets
        if not target.ordered and len(np.unique(target.values[target.values >= 0])) > 1
    ]
    for slot in evidence.inputs:
        texts = Read(lambda at, slot=slot: _texts(evidence, slot, at))
        for target in evidence.clock.each(targets, f"answers for words of '{slot.column}'"):
            found.append(_words(evidence, slot, target, texts))
    for slot in evidence.answering("pixels"):
        pixels = Read(lambda at, slot=slot: _values(evidence, slot, at))
        for target in evidence.clock.each(targets, f"answers for pixels of '{slot.column}'"):
            found.append(_pixels(evidence, slot, target, pixels))
    return [finding for finding in found if finding]


class Read(Generic[Cells]):
    """What was read of some rows last: many labels are asked about the same ones."""

    def __init__(self, read: Callable[[np.ndarray], Cells]):
        self._read = read
        self._held: tuple[np.ndarray, Any] = (np.empty(0, np.int64), None)

    def __call__(self, at: np.ndarray) -> Cells:
        if self._held[1] is None or not np.array_equal(self._held[0], at):
            self._held = (at, self._read(at))
        return self._held[1]


# --- words ----------------------------------------------------------------------------------------


def _texts(evidence: Evidence, slot: Slot, at: np.ndarray) -> list[list[str]]:
    """The words of some rows' texts; [] where they are none, or one of several names, which is looked at as a
    whole elsewhere."""
    cells = evidence.cells(slot.column)
    if cells is None or not all(isinstance(cells[i], str) for i in at[:20].tolist()):
        return []
    texts = [WORD.findall(str(cells[i])[:MOST_LETTERS].lower()) for i in at.tolist()]
    return [] if len({" ".join(words) for words in texts[:500]}) < 0.5 * len(texts[:500]) else texts


def _words(evidence: Evidence, slot: Slot, target: Fact, read: Read[list[list[str]]]) -> Finding | None:
    at = evidence.different_rows
    at = at[target.values[at] >= 0]
    at = at[chosen(len(at), MOST_TEXTS, "words")]
    texts = read(at) if len(at) >= 2 * LEAST else []
    if not texts:
        return None
    classes = target.values[at]
    names = evidence.column_type("output", target.slot).classes
    rows = tuple(evidence.rows[at[:5]].tolist())
    record = np.median([len(words) for words in texts]) <= RECORD
    if marks := _marking(texts, classes):
        named = all(_is_name(word, names[k]) for k, word in marks.items() if k < len(names))
        told = ", ".join(
            f"'{word}' in {names[k] if k < len(names) else k}" for k, word in list(marks.items())[:4]
        )
        why = f"some words stand in all its texts of a class and in no others ({told})"
        return _finding(evidence, slot, target, why, "stop" if named or record else "warn", rows)
    for place, name in ((0, "first"), (-1, "last")):
        known: dict[str, int] = {}
        codes = np.array([known.setdefault(words[place] if words else "", len(known)) for words in texts])
        if determines(codes, codes_of(classes)) is not None:
            return _finding(
                evidence,
                slot,
                target,
                f"equal {name} words always stand beside the same class",
                "stop" if record else "warn",
                rows,
            )
    return None


def _marking(texts: list[list[str]], classes: np.ndarray) -> dict[int, str]:
    """{class: a word in all of its texts and in none of the others}, where that tells every class; {}
    otherwise."""
    counts: dict[int, Counter[str]] = {}
    total: Counter[str] = Counter()
    for words, k in zip(texts, classes.tolist(), strict=True):
        each = set(words)
        counts.setdefault(k, Counter()).update(each)
        total.update(each)
    sizes = Counter(classes.tolist())
    marks = {}
    for k, size in sizes.items():
        own = [word for word, count in counts[k].items() if count == size == total[word]]
        if own and size >= MINOR:
            marks[k] = min(own, key=lambda word: (len(word), word))
    return marks if len(marks) >= max(1, len(sizes) - 1) and sum(sizes[k] for k in marks) >= MINOR else {}


def _is_name(word: str, name: str) -> bool:
    """'spam', 'label1' and '__label__1' name the classes spam and 1."""
    bare = NAMES.fullmatch(word)
    return word in WORD.findall(name.lower()) or (
        bare is not None and bare[2] == "".join(WORD.findall(name.lower()))
    )


# --- pixels ---------------------------------------------------------------------------------------


class Pixels(NamedTuple):
    """values (m, F) uint8; counts (F, 256): how often each stands at each place of the first rows."""

    values: np.ndarray
    counts: np.ndarray


def _values(evidence: Evidence, slot: Slot, at: np.ndarray) -> Pixels:
    """The pixels of some rows."""
    spot = ("input", slot.name)
    values = np.concatenate(evidence.asked("pixels", [spot], evidence.rows[at])[spot])
    return Pixels(values, _counted(values[:FIRST]))


def _pixels(evidence: Evidence, slot: Slot, target: Fact, read: Read[Pixels]) -> Finding | None:
    at = evidence.different_rows
    at = at[target.values[at] >= 0]
    at = at[chosen(len(at), evidence.affordable(slot, MOST_PICTURES), "pixels")]
    if len(at) < 2 * LEAST:
        return None
    classes, pixels = codes_of(target.values[at]), read(at)
    values = pixels.values
    telling = [
        f
        for f in _pure(pixels, classes)
        if determines(codes_of(values[:, f].astype(np.int64)), classes) is not None
    ]
    share = len(telling) / values.shape[1]
    if not telling or share > LARGE:
        return None
    side = round(values.shape[1] ** 0.5)
    x, y = telling[0] % side / side, telling[0] // side / side
    why = (
        f"{plural(len(telling), 'pixel')} ({share:.1%}), such as the one {x:.0%} across and {y:.0%} down,"
        " tell its class: a watermark or border?"
    )
    return _finding(
        evidence,
        slot,
        target,
        why,
        "stop" if share <= SMALL else "warn",
        tuple(evidence.rows[at[:5]].tolist()),
    )


def _pure(pixels: Pixels, classes: np.ndarray) -> list[int]:
    """Places (of F) where, in the first rows, no value stands beside two classes."""
    values, classes = pixels.values[:FIRST], classes[:FIRST]
    kinds, sizes = np.unique(classes, return_counts=True)
    if len(kinds) == 2:  # of labels, which may be many: the rows of the rarer tell, beside all of them
        own = values[classes == kinds[sizes.argmin()]]
        alone = _counted(own)
        spot = np.arange(values.shape[1])
        told = [pixels.counts[spot, row] == alone[spot, row] for row in own]
        return np.flatnonzero(np.all(told, axis=0)).tolist()
    lowest, highest = np.full((values.shape[1], 256), 1 << 30), np.full((values.shape[1], 256), -1)
    spot = np.arange(values.shape[1])
    for row, k in zip(values, classes.tolist(), strict=True):
        lowest[spot, row] = np.minimum(lowest[spot, row], k)
        highest[spot, row] = np.maximum(highest[spot, row], k)
    return np.flatnonzero(((lowest == highest) | (highest < 0)).all(1)).tolist()


def _counted(values: np.ndarray) -> np.ndarray:
    """(F, 256) int16: how often each value stands at each place of rows (m, F)."""
    counts, spot = np.zeros((values.shape[1], 256), np.int16), np.arange(values.shape[1])
    for row in values:
        counts[spot, row] += 1
    return counts


def _finding(
    evidence: Evidence, slot: Slot, target: Fact, why: str, level: str, rows: tuple[int, ...]
) -> Finding:
    what = f"{listed([slot.column])} gives {target} away: {why}"
    fix = f"take the mark out of '{slot.column}'" + (
        f", or --drop {slot.column}" if len(evidence.inputs) > 1 else ""
    )
    fix += ALLOW if level == "stop" else ""
    return Finding(
        "leakage" if level == "stop" else "marked", level, what, LEARNED, fix, (slot.column,), 1, rows
    )
