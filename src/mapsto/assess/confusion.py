"""What is taken for what: a confusion matrix and the most confused pairs; for numbers, where predictions lie
beside the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.blocks import Block, Line, Lines, Matrix, Section, Table
from mapsto.measure.row_errors import in_words
from mapsto.metrics import Arrays

TITLE = "What is taken for what?"
SHOWN = 20  # classes of a matrix: the most confused where there are more
PAIRS = 10
BIN_ROWS, BINS = 20, 12  # of a curve over numbers: fewest rows of a bin, most bins

Found = tuple[str, list[Block], dict[str, Any]]  # headline, blocks, figures


def asks(view: View) -> bool:
    return bool(view.outputs())


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    for slot in view.outputs():
        predicted, target, _ = view.of(slot)
        headline, found, figures[slot] = KINDS[view.kind(slot)](view, slot, predicted, target)
        headlines.append(view.titled(slot, headline))
        blocks += found
    return Section("confusion", TITLE, " ".join(headlines), tuple(blocks), figures)


def _of_classes(view: View, slot: str, predicted: Arrays, target: np.ndarray) -> Found:
    names = view.column_type(slot).classes
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (target, predicted["value"].astype(np.int64)), 1)
    off = counts - np.diag(np.diag(counts))
    wrong, n = int(off.sum()), len(target)
    pairs = _largest(off)
    told = f"{wrong:,} of {n:,} rows are taken for another class ({wrong / n:.1%})"
    if pairs:
        i, j = pairs[0]
        told += f", most often '{names[i]}' for '{names[j]}' ({off[i, j]:,} row{'s' * bool(off[i, j] > 1)})"
    table = tuple((names[i], names[j], int(off[i, j]), float(off[i, j] / counts[i].sum())) for i, j in pairs)
    blocks: list[Block] = [_matrix(view, slot, names, counts, off)]
    if table:
        columns = ("true", "said", "rows", "share of the true class")
        blocks.append(Table(columns, table, view.titled(slot, "the most confused pairs.")))
    figures = {"wrong": wrong, "n": n, "pairs": [list(row[:3]) for row in table]}
    return told + ".", blocks, figures


def _matrix(view: View, slot: str, names: tuple[str, ...], counts: np.ndarray, off: np.ndarray) -> Matrix:
    """All classes, or those with the most confusion."""
    shown = np.arange(len(names))
    caption = "rows of each true class by the class that was said."
    if len(names) > SHOWN:
        shown = np.sort(np.argsort(-(off.sum(0) + off.sum(1)), kind="stable")[:SHOWN])
        caption = (
            f"rows of each true class by the class that was said; the {SHOWN} most confused of {len(names):,}"
            " classes."
        )
    labels = tuple(names[k] for k in shown)
    return Matrix(
        labels,
        labels,
        tuple(map(tuple, counts[np.ix_(shown, shown)].tolist())),
        "true",
        "said",
        view.titled(slot, caption),
    )


def _largest(counts: np.ndarray) -> list[tuple[int, int]]:
    """Places of the largest counts above 0, largest first, in reading order where equal."""
    order = np.argsort(-counts, axis=None, kind="stable")[:PAIRS]
    return [(int(at) // counts.shape[1], int(at) % counts.shape[1]) for at in order if counts.flat[at] > 0]


def _of_labels(view: View, slot: str, predicted: Arrays, target: np.ndarray) -> Found:
    """Per label hits, misses and false alarms; and which label is missed where another is falsely said."""
    names = view.column_type(slot).classes
    value, true, known = predicted["value"].astype(bool), target == 1, target >= 0
    missed, false = true & ~value, known & ~true & value
    each = tuple(
        (
            name,
            int((true & value)[:, k].sum()),
            int(missed[:, k].sum()),
            int(false[:, k].sum()),
            int((known & ~true & ~value)[:, k].sum()),
        )
        for k, name in enumerate(names)
    )
    together = missed.T.astype(np.int64) @ false.astype(
        np.int64
    )  # (K, K): label i missed in rows where j is falsely said
    pairs = _largest(together)
    wrong, n = int((missed | false).sum()), int(known.sum())
    told = (
        f"{wrong:,} of {n:,} labels are wrong ({wrong / n:.1%}): {int(missed.sum()):,} missed,"
        f" {int(false.sum()):,} said falsely."
    )
    columns = ("label", "found", "missed", "said falsely", "rightly not said")
    blocks: list[Block] = [Table(columns, each, view.titled(slot, "what becomes of each label."))]
    if pairs:
        rows = tuple((names[i], names[j], int(together[i, j])) for i, j in pairs)
        blocks.append(
            Table(("missed", "said instead", "rows"), rows, view.titled(slot, "the most confused pairs."))
        )
    figures = {
        "wrong": wrong,
        "n": n,
        "missed": int(missed.sum()),
        "false": int(false.sum()),
        "pairs": [[names[i], names[j], int(together[i, j])] for i, j in pairs],
    }
    return told, blocks, figures


def _of_numbers(view: View, slot: str, predicted: Arrays, target: np.ndarray) -> Found:
    """Truth and residual over the predicted value, in bins of equally many rows: no single row shows."""
    value = predicted["value"].astype(np.float64)
    error = target - value
    half, most = (float(q) for q in np.quantile(np.abs(error), (0.5, 0.9)))
    told = (
        f"half of the predictions are within {in_words(half)} of the truth, nine in ten within"
        f" {in_words(most)}."
    )
    order = np.argsort(value, kind="stable")
    bins = np.array_split(order, min(BINS, max(1, len(order) // BIN_ROWS)))
    at = tuple(float(np.median(value[part])) for part in bins)
    truth = _band("true value: median, 10% to 90% of rows", at, [target[part] for part in bins])
    residual = _band("true less predicted", at, [error[part] for part in bins])
    caption = (
        f"the true value over the predicted, in {len(bins)} bins of about {len(order) // len(bins):,} rows; a"
        " perfect net lies on the diagonal."
    )
    blocks: list[Block] = [
        Lines((truth,), "predicted", "true", view.titled(slot, caption), diagonal=True),
        Lines(
            (residual,),
            "predicted",
            "true − predicted",
            view.titled(slot, "what is left over: above 0 the net says too little, below too much."),
        ),
    ]
    figures = {
        "n": len(value),
        "within_half": half,
        "within_nine_in_ten": most,
        "mean_residual": float(error.mean()),
    }
    return told, blocks, figures


def _band(name: str, at: tuple[float, ...], parts: list[np.ndarray]) -> Line:
    low, middle, high = np.array([np.quantile(part, (0.1, 0.5, 0.9)) for part in parts]).T
    return Line(name, at, tuple(middle.tolist()), tuple(low.tolist()), tuple(high.tolist()), points=True)


KINDS: Mapping[str, Any] = {"classes": _of_classes, "labels": _of_labels, "regression": _of_numbers}
