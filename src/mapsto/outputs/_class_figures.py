"""What questions ask of one of several classes: what is taken for what, and what sets hold."""

from __future__ import annotations

import numpy as np

from mapsto.blocks import Block, Matrix, Table
from mapsto.metrics import Arrays
from mapsto.outputs.base import Coverage, Groups, SectionPart, largest

SHOWN = 20  # classes of a matrix: the most confused where there are more


def confusion(names: tuple[str, ...], predicted: Arrays, target: np.ndarray) -> SectionPart:
    """A confusion matrix, and the most confused pairs."""
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (target, predicted["value"].astype(np.int64)), 1)
    off = counts - np.diag(np.diag(counts))
    wrong, n = int(off.sum()), len(target)
    pairs = largest(off)
    told = f"{wrong:,} of {n:,} rows are taken for another class ({wrong / max(1, n):.1%})"
    if pairs:
        i, j = pairs[0]
        rows = f"{off[i, j]:,} row{'s' * bool(off[i, j] > 1)}"
        told += f", most often '{names[i]}' for '{names[j]}' ({rows})"
    table = tuple((names[i], names[j], int(off[i, j]), float(off[i, j] / counts[i].sum())) for i, j in pairs)
    blocks: list[Block] = [_matrix(names, counts, off)]
    if table:
        columns = ("true", "said", "rows", "share of the true class")
        blocks.append(Table(columns, table, "the most confused pairs."))
    figures = {"wrong": wrong, "n": n, "pairs": [list(row[:3]) for row in table]}
    return SectionPart(told + ".", tuple(blocks), figures)


def coverage(names: tuple[str, ...], predicted: Arrays, target: np.ndarray) -> Coverage:
    """Of sets: by their size, and class by class."""
    inside = predicted["set"][np.arange(len(target)), target].astype(np.float64)
    size, right = predicted["set"].sum(1), predicted["value"] == target
    figures = {"size": float(size.mean()), "empty": float((size == 0).mean())}
    told = (
        f"the 90% sets hold the true class of {{told}}; they name {figures['size']:.2f} classes in the mean"
    )
    if figures["empty"]:
        told += (
            f", and {figures['empty']:.1%} of them none"
            f" ({right[size == 0].mean():.0%} of these rows are right)"
        )
    counts = [(str(k), size == k) for k in range(4)] + [("4 or more", size >= 4)]
    by_size = tuple(
        (name, int(part.sum()), float(part.mean()), float(inside[part].mean()), float(right[part].mean()))
        for name, part in counts
        if part.any()
    )
    columns = ("classes in the set", "rows", "share", "hold the truth", "likeliest class is right")
    caption = "sets by size. An empty set says that no class looks as a true one does."
    parts = [(names[k], inside[target == k]) for k in np.unique(target).tolist()]
    return Coverage(
        inside,
        told + ".",
        figures,
        (Table(columns, by_size, caption),),
        Groups("coverage class by class", "class", parts),
    )


def _matrix(names: tuple[str, ...], counts: np.ndarray, off: np.ndarray) -> Matrix:
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
    values = tuple(map(tuple, counts[np.ix_(shown, shown)].tolist()))
    return Matrix(labels, labels, values, "true", "said", caption)
