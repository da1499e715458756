"""Class by class (or label by label): precision, recall and F1 with their intervals.

Without groups an interval is Wilson's (1927) for a share. F1 is 2J / (1 + J) of the Jaccard index J, the
share of hits among the rows that are or are said to be of the class, so its interval is Wilson's for J,
mapped. With groups all are bootstraps over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsto.assess.base import View
from mapsto.batch import key
from mapsto.blocks import Bars, Block, Section, Table
from mapsto.measure.intervals import wilson

TITLE = "How well is each class found?"
SHOWN = 60  # rows of the table and bars: the worst, where there are more
RESAMPLES, BLOCKS = 500, 2_000  # of groups


def asks(view: View) -> bool:
    return bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    for slot in _outputs(view):
        names, counts = view.column_type(slot).classes, _counts(view, slot)
        f1, low, high = counts.share("f1")
        order = np.argsort(np.where(np.isnan(f1), np.inf, f1), kind="stable")
        order = [int(k) for k in order if counts.n[k] or counts.said[k]]
        worst = order[0]
        of = view.output(slot).noun
        lowest = (
            f"'{names[worst]}' is found worst: F1 {f1[worst]:.2f} ({low[worst]:.2f} – {high[worst]:.2f},"
            f" {int(counts.n[worst]):,} rows)."
        )
        headlines.append(view.titled(slot, lowest))
        blocks += _blocks(view, slot, of, names, counts, order)
        figures[slot] = {
            names[k]: (
                {
                    what: float(counts.share(what)[0][k]) if np.isfinite(counts.share(what)[0][k]) else None
                    for what in PARTS
                }
                | {"n": int(counts.n[k])}
            )
            for k in order
        }
    return Section("classes", TITLE, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    return view.outputs(lambda output: output.events is not None)


PARTS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Counts:
    """Of each class (K,): rows of it, rows said to be of it, rows rightly so. resampled: the same three (R,
    K) with other draws of the groups, or None where rows stand alone."""

    n: np.ndarray
    said: np.ndarray
    hits: np.ndarray
    resampled: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def share(self, what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(value, low, high), (K,) each; nan where there is nothing to divide by."""
        value, low, high = wilson(self.hits, _whole(what, self.n, self.said, self.hits))
        if self.resampled is not None:
            n, said, hits = self.resampled
            whole = _whole(what, n, said, hits)
            drawn = np.divide(hits, whole, out=np.full(hits.shape, np.nan), where=whole > 0)
            seen = np.isfinite(drawn).any(0)
            low, high = np.full((2, len(value)), np.nan)
            low[seen], high[seen] = np.nanquantile(drawn[:, seen], (0.025, 0.975), axis=0)
        if what == "f1":
            return 2 * value / (1 + value), 2 * low / (1 + low), 2 * high / (1 + high)
        return value, low, high


def _whole(what: str, n: np.ndarray, said: np.ndarray, hits: np.ndarray) -> np.ndarray:
    return {"precision": said, "recall": n, "f1": n + said - hits}[what]


def _counts(view: View, slot: str) -> Counts:
    predicted, target, rows = view.of(slot)
    events_of = view.output(slot).events
    assert events_of is not None
    groups = view.group_of(rows)
    if groups is None:
        return Counts(*events_of(predicted, target, np.zeros(len(rows), np.int64))[:, 0])
    draw = np.random.default_rng(key(view.seed, "classes", slot))
    units = np.unique(groups, return_inverse=True)[1].reshape(-1)
    units = (draw.permutation(units.max() + 1) % BLOCKS)[units]  # very many groups fall into blocks at random
    events = events_of(predicted, target, units)  # (3, U, K)
    weights = draw.multinomial(
        events.shape[1], np.full(events.shape[1], 1 / events.shape[1]), RESAMPLES
    )  # (R, U)
    n, said, hits = weights @ events  # (R, K) each
    return Counts(*events.sum(1), resampled=(n, said, hits))


def _blocks(
    view: View, slot: str, of: str, names: tuple[str, ...], counts: Counts, order: list[int]
) -> list[Block]:
    """A table in the order of the classes, and bars of F1 from the worst."""
    shown = order[:SHOWN]
    caption = (
        f"precision: of the rows said to be of the {of}, how many are; recall: of its rows, how many are"
        " found; 95% intervals."
    )
    if len(order) > SHOWN:
        caption += f" The {SHOWN} worst of {len(order):,}."
    rows = []
    for k in sorted(shown):
        cells: list[object] = [names[k], int(counts.n[k])]
        for what in PARTS:
            value, low, high = (float(part[k]) for part in counts.share(what))
            cells += [value, f"{low:.2f} – {high:.2f}"] if np.isfinite(value) else [None, "—"]
        rows.append(tuple(cells))
    columns = (of, "rows", "precision", "95%", "recall", "95%", "F1", "95%")
    marked = tuple(i for i, k in enumerate(sorted(shown)) if k == order[0])
    f1, low, high = (part[shown] for part in counts.share("f1"))
    bars = Bars(
        tuple(names[k] for k in shown),
        _plain(f1),
        "F1",
        view.titled(slot, f"F1 of each {of}, worst first."),
        _plain(low),
        _plain(high),
    )
    return [Table(columns, tuple(rows), view.titled(slot, caption), marked), bars]


def _plain(values: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(value) if np.isfinite(value) else None for value in values)
