"""Labels that are likely wrong, in the rows held back and in those learned from: each with the class that it
looks like.

A row held back is judged by the net, which never saw it, and by two linear models of other rows: on plain
features, and on what the net knows of a row before its heads. Training rows are judged by the two models
alone, out of fold; where the net has learned them by heart, by plain features alone, because its own agree
with a wrong label. (Confident learning, Northcutt, Jiang & Chuang 2021.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from mapsto.assess.base import View
from mapsto.batch import Ragged, key
from mapsto.blocks import Block, Gallery, Paragraph, Section, Table
from mapsto.measure import label_errors
from mapsto.measure.baseline import chosen, features_of
from mapsto.prediction import Predictions

TITLE = "Which labels are likely wrong?"
FEWEST = 50  # rows with a known class
MOST_ROWS = 20_000
WORK = 8e8  # multiplications a second of the linear models, with their overhead: a guess that sizes the work
BY_HEART = (
    0.05  # how much better a model of the net's features may be on training rows than on those held back
)
SHOWN, LISTED = 12, 100


def asks(view: View) -> bool:
    return bool(view.run.signature.inputs) and bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    outputs = _outputs(view)
    for slot in outputs:
        rows = _rows(view, slot, seconds / len(outputs))
        found = _judged(view, slot, rows)
        order = label_errors.doubted(found.probability, found.target)
        headline, more = _told(view, slot, found, order)
        headlines.append(view.titled(slot, headline))
        blocks += more
        figures[slot] = _figures(found, order)
    sign = "look" if any(one["doubted"] for one in figures.values()) else "good"
    return Section("labels", TITLE, " ".join(headlines), tuple(blocks), figures, sign)


def _outputs(view: View) -> list[str]:
    """Outputs of one class of several, with two classes and rows enough."""
    return [
        slot
        for slot in view.outputs(lambda output: output.exclusive)
        if len(view.column_type(slot).classes) > 1
        and _known(view, slot, np.concatenate([view.held.rows, view.store.rows("train")])) >= FEWEST
    ]


def _known(view: View, slot: str, rows: np.ndarray) -> int:
    return int((_targets(view, slot, rows[:MOST_ROWS]) >= 0).sum())


def _targets(view: View, slot: str, rows: np.ndarray) -> np.ndarray:
    """(n,) class numbers, -1 where not known."""
    return view.store.raw(rows, [("output", slot)])["output", slot].cpu().numpy().astype(np.int64).reshape(-1)


def _rows(view: View, slot: str, seconds: float) -> np.ndarray:
    """Rows to judge, ascending: those held back and those learned from, as many as the seconds allow."""
    every = np.unique(
        np.concatenate(
            [view.held.rows, *(view.store.rows(split) for split in ("train", "validation", "test"))]
        )
    )
    known = every[_targets(view, slot, every) >= 0]
    size = len(view.column_type(slot).classes) * _width(view, known[:64])
    by_models = int(WORK * seconds / ((label_errors.FOLDS + 1) * label_errors.STEPS * size))
    most = int(np.clip(min(by_models, view.rows_in(seconds)), 1_000, MOST_ROWS))
    return known[chosen(len(known), most, key(view.seed, "labels", slot))]


def _width(view: View, rows: np.ndarray) -> int:
    """About how many features a row has: those of its texts are as many as they are long."""
    raw = view.store.raw(rows, [("input", slot.name) for slot in view.run.signature.inputs])
    return 256 + sum(int(found.lengths.float().mean()) for found in raw.values() if isinstance(found, Ragged))


@dataclass(frozen=True)
class Judged:
    """rows (n,) ascending, their given classes, probabilities (n, K) by models that did not learn from the
    row; held: (n,) bool."""

    rows: np.ndarray
    target: np.ndarray
    probability: np.ndarray
    held: np.ndarray
    of: int


def _judged(view: View, slot: str, rows: np.ndarray) -> Judged:
    target = _targets(view, slot, rows)
    classes = len(view.column_type(slot).classes)
    held = np.isin(rows, view.held.rows)
    plain = label_errors.out_of_fold(
        features_of(view.store, rows, most=len(rows))[slot].values, target, classes, view.seed
    )
    known = label_errors.out_of_fold(_embedded(view, rows), target, classes, view.seed)
    right = known.argmax(1) == target
    by_heart = held.any() and not held.all() and right[~held].mean() - right[held].mean() > BY_HEART
    probability = np.where(held[:, None] | (not by_heart), (plain + known) / 2, plain)
    at = np.searchsorted(view.held.rows, rows[held])
    net = view.held.predicted[slot]["probability"][at]
    probability[held] = (2 * probability[held] + net) / 3
    every = sum(view.store.size(split) for split in ("train", "validation", "test"))
    return Judged(rows, target, probability, held, every)


@torch.no_grad()
def _embedded(view: View, rows: np.ndarray) -> np.ndarray:
    """(n, D): what the net knows of rows before its heads."""
    view.learner.model.eval()
    parts = []
    for part in view.pieces(rows):
        inputs = view.learner.ready(view.store.batch(part)).inputs
        parts.append(view.learner.model.embed(inputs).float().cpu().numpy())  # type: ignore[union-attr, operator]
    return np.concatenate(parts)


def _told(view: View, slot: str, found: Judged, order: np.ndarray) -> tuple[str, list[Block]]:
    """The headline, and the doubted rows as a table and as what they are."""
    looked = f"{len(found.rows):,} rows" + (
        f" looked at (of {found.of:,})" if len(found.rows) < found.of else ""
    )
    if not len(order):
        return f"none of {looked} has a label that is clearly denied.", []
    shown = _subview(view, slot, found, order[:LISTED])
    names = view.column_type(slot).classes
    lines, items = [], []
    for number, i in enumerate(order[:LISTED].tolist()):
        row, given, likely = int(found.rows[i]), names[found.target[i]], names[_likely(found, i)]
        sure = float(found.probability[i, _likely(found, i)])
        where = shown.where[int(shown.place(np.array([row]))[0])]
        lines.append((where, given, likely, sure, "held back" if found.held[i] else "learned from"))
        if number < SHOWN:
            items.append(shown.item(row, (f"given: {given}", f"looks like: {likely} ({sure:.2f})")))
    more = f"; the first {LISTED} are listed" if len(order) > LISTED else ""
    headline = (
        f"{len(order):,} of {looked} ({len(order) / len(found.rows):.1%}) carry a label that models of other"
        f" rows deny{more}."
    )
    columns = ("row", "given", "looks like", "probability", "was")
    return headline, [
        Paragraph(
            "Look at them before you mend them: rare but right rows look the same. A wrong label costs more"
            " among the rows measured on."
        ),
        Gallery(tuple(items), view.titled(slot, "labels in doubt, the surest first.")),
        Table(columns, tuple(lines), view.titled(slot, "all that are in doubt."), private=True),
    ]


def _likely(found: Judged, i: int) -> int:
    others = found.probability[i].copy()
    others[found.target[i]] = -1
    return int(others.argmax())


def _subview(view: View, slot: str, found: Judged, order: np.ndarray) -> View:
    """A view of the doubted rows, so that their cells and names are at hand wherever they stand in the
    data."""
    order = np.sort(order)
    rows = found.rows[order]
    absent = {other.name: np.zeros(len(rows), bool) for other in view.run.signature.outputs}
    part = Predictions(
        {slot: {"probability": found.probability[order], "value": found.probability[order].argmax(1)}},
        {slot: found.target[order]},
        {**absent, slot: np.ones(len(rows), bool)},
        rows,
    )
    return replace(view, found={view.split: part})


def _figures(found: Judged, order: np.ndarray) -> dict[str, Any]:
    return {
        "doubted": len(order),
        "rows": len(found.rows),
        "held": int(found.held[order].sum()),
        "wrong_share": label_errors.wrong_share(found.probability, found.target),
        "where": found.rows[order[:LISTED]].tolist(),
        "given": found.target[order[:LISTED]].tolist(),
        "likely": [_likely(found, i) for i in order[:LISTED].tolist()],
    }
