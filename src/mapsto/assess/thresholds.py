"""Of two classes: from which probability on should one say yes? ROC and precision-recall curves, what each
threshold finds and costs, and the cheapest threshold where a miss costs more than a false alarm.

The rarer class of the rows asked about is called positive, unless --positive names one. The area under the
ROC curve is the share of pairs of a positive and another row that are ranked rightly; its interval is that of
DeLong, DeLong & Clarke-Pearson (1988), over whole groups where rows come in groups. Of honest probabilities
the cheapest threshold is 1 / (1 + r), r what a miss costs in false alarms (Elkan 2001): it is not chosen on
the rows that it is measured on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.blocks import Block, Line, Lines, Section, Table
from mapsto.measure.intervals import ratio, wilson

TITLE = "From which probability on should one say yes?"
AFTER = "classes"
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
RATIOS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # what a miss costs in false alarms
USED = 0.5  # the threshold of `predict`, which names the likelier class
PLACES = 200  # of a curve


def asks(view: View) -> bool:
    return bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    for slot in _outputs(view):
        ranked = Ranked.of(view, slot)
        area, low, high = ranked.area()
        names = view.column_type(slot).classes
        positive, why = names[ranked.positive], "asked for" if view.positive(slot)[1] else "the rarer class"
        said = _line(ranked, USED)
        headlines.append(
            view.titled(
                slot,
                f"'{positive}', {why}, is ranked above '{names[1 - ranked.positive]}' in {area:.1%}"
                f" of pairs ({low:.1%} – {high:.1%}); said from {USED:g} on, it is missed"
                f" {said['misses']:,} times and said wrongly {said['alarms']:,} times.",
            )
        )
        blocks += view.captioned(slot, [*_curves(ranked, positive, area), *_tables(ranked, positive)])
        figures[slot] = {
            "positive": positive,
            "n": len(ranked.truth),
            "area": {"value": area, "low": low, "high": high},
            "average_precision": ranked.average_precision(),
            "thresholds": [_line(ranked, threshold) for threshold in THRESHOLDS],
        }
    return Section("thresholds", TITLE, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    """Outputs of one of two classes, of which the rows asked about hold both."""
    two = view.outputs(lambda output: output.exclusive and output.chances and len(output.type.classes) == 2)
    return [slot for slot in two if len(np.unique(view.of(slot)[1])) == 2]


@dataclass(frozen=True)
class Ranked:
    """Rows by how likely the positive class is said to be, the likeliest first. truth (n,) bool: are they of
    it? groups (n,) or None."""

    positive: int
    chance: np.ndarray
    truth: np.ndarray
    groups: np.ndarray | None

    @classmethod
    def of(cls, view: View, slot: str) -> Ranked:
        predicted, target, rows = view.of(slot)
        chances = view.output(slot).chances
        assert chances is not None
        positive, _ = view.positive(slot)
        chance = chances(predicted)[:, positive].astype(np.float64)
        order = np.argsort(-chance, kind="stable")
        return cls(positive, chance[order], target[order] == positive, view.group_of(rows[order]))

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """(hits, false alarms) of every threshold at which they change, from none said to all said; rows of
        equal chance come together."""
        ends = np.flatnonzero(np.diff(self.chance, append=-np.inf))
        hits = np.cumsum(self.truth)[ends]
        return np.r_[0, hits], np.r_[0, ends + 1 - hits]

    def area(self) -> tuple[float, float, float]:
        """(area under the ROC curve, low, high). Of a positive row it counts the share of the others that lie
        below it, of another the share of the positives above it: the mean of either is the area."""
        above, below = self.chance[self.truth][::-1], self.chance[~self.truth][::-1]  # ascending
        placed = np.where(self.truth, _share_below(below, self.chance), 1 - _share_below(above, self.chance))
        value, share = float(placed[self.truth].mean()), float(self.truth.mean())
        if value in (0.0, 1.0):  # no pair speaks of the spread: as of a share of the fewer rows
            few = min(len(above), len(below))
            _, low, high = wilson(value * few, few)
            return value, float(low), float(high)
        spread = (placed - value) / np.where(self.truth, share, 1 - share)
        low, high = ratio(value + spread[:, None], self.groups)
        return value, max(0.0, low), min(1.0, high)

    def average_precision(self) -> float:
        """The mean precision over the positive rows, each at its own chance."""
        hits, alarms = self.counts()
        said = hits[1:] + alarms[1:]
        return float((np.diff(hits) * hits[1:] / said).sum() / hits[-1])


def _share_below(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,): the share of `ascending` that is smaller than each value, equal ones half."""
    below, to = np.searchsorted(ascending, values, "left"), np.searchsorted(ascending, values, "right")
    return (below + to) / (2 * len(ascending))


def _line(ranked: Ranked, threshold: float) -> dict[str, Any]:
    """What saying yes from a threshold on finds, precision and recall with their ends, and what goes
    wrong."""
    said = ranked.chance >= threshold
    hits = int((said & ranked.truth).sum())
    precision, recall = wilson(hits, said.sum()), wilson(hits, ranked.truth.sum())
    return {
        "threshold": threshold,
        "said": int(said.sum()),
        "precision": [float(end) if np.isfinite(end) else None for end in precision],
        "recall": [float(end) for end in recall],
        "alarms": int(said.sum()) - hits,
        "misses": int(ranked.truth.sum()) - hits,
    }


def _curves(ranked: Ranked, positive: str, area: float) -> list[Block]:
    """ROC and precision-recall."""
    hits, alarms = ranked.counts()
    m, n = int(hits[-1]), int(alarms[-1])
    kept = np.unique(np.linspace(0, len(hits) - 1, PLACES).round().astype(int))
    recall, wrongly = hits[kept] / m, alarms[kept] / n
    roc = Line(f"ROC, area {area:.3f}", tuple(wrongly.tolist()), tuple(recall.tolist()))
    precision = hits[kept][1:] / (hits[kept][1:] + alarms[kept][1:])
    found = Line(
        f"average precision {ranked.average_precision():.3f}",
        tuple(recall[1:].tolist()),
        tuple(precision.tolist()),
    )
    share = m / (m + n)
    blind = Line(f"whoever says yes to all: {share:.2f}", (0.0, 1.0), (share, share))
    return [
        Lines(
            (roc,),
            "share of the others said wrongly",
            f"share of '{positive}' found",
            f"ROC: area {area:.3f}. Whoever guesses lies on the diagonal, with an area of 0.5.",
            diagonal=True,
        ),
        Lines(
            (found, blind),
            f"recall: share of '{positive}' found",
            "precision",
            f"precision and recall of '{positive}' at every threshold.",
        ),
    ]


def _tables(ranked: Ranked, positive: str) -> list[Block]:
    rows = []
    for one in (_line(ranked, threshold) for threshold in THRESHOLDS):
        cells: list[object] = [one["threshold"], one["said"]]
        for value, low, high in (one["precision"], one["recall"]):
            cells += [value, "—" if value is None else f"{low:.2f} – {high:.2f}"]
        rows.append((*cells, one["alarms"], one["misses"]))
    columns = ("threshold", "said", "precision", "95%", "recall", "95%", "false alarms", "misses")
    caption = f"saying '{positive}' from a probability on; `predict` says it from {USED:g} on."
    priced, n = [], len(ranked.truth)
    for times in RATIOS:
        best, used = _line(ranked, 1 / (1 + times)), _line(ranked, USED)
        costs = (100 * (one["alarms"] + times * one["misses"]) / n for one in (best, used))
        priced.append((times, best["threshold"], best["alarms"], best["misses"], *costs))
    of = ("a miss costs", "say from", "false alarms", "misses", "cost of 100 rows", f"from {USED:g} on")
    told = (
        "where a miss costs so many false alarms: the threshold that is cheapest if the probabilities are"
        " honest, and what it costs on these rows, in false alarms, beside the usual one."
    )
    marked = tuple(i for i, threshold in enumerate(THRESHOLDS) if threshold == USED)
    return [Table(columns, tuple(rows), caption, marked), Table(of, tuple(priced), told)]
