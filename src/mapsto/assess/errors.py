"""The worst errors as what they are: pictures, texts, rows; with the truth, what was said, and how surely."""

from __future__ import annotations

import numpy as np

from mapsto.assess.base import View
from mapsto.blocks import Gallery, Section

TITLE = "Where is it most wrong?"
SHOWN = 12  # rows in all, divided among the outputs, at least 4 of each


def asks(view: View) -> bool:
    return bool(view.outputs())


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    outputs = view.outputs()
    for slot in outputs:
        predicted, target, rows = view.of(slot)
        output = view.output(slot)
        assert output.row_loss is not None and output.wrong is not None
        loss, wrong = output.row_loss(predicted, target), output.wrong(predicted, target)
        order = [int(i) for i in np.argsort(-loss, kind="stable") if wrong[i]]
        shown = order[: max(4, SHOWN // len(outputs))]
        numbers = output.graded
        told = (
            f"the largest error is {loss[order[0]]:.4g}"
            if numbers
            else f"{len(order):,} of {len(rows):,} rows are wrong"
            if order
            else "no row is wrong"
        )
        headlines.append(
            view.titled(
                slot, told + (", half of them below " + f"{np.median(loss):.4g}." if numbers else ".")
            )
        )
        if shown:
            caption = "rows with the largest errors." if numbers else "wrong answers, the surest first."
            blocks.append(Gallery(view.items(slot, rows[shown]), view.titled(slot, caption)))
        figures[slot] = {
            "wrong": len(order),
            "n": len(rows),
            "rows": rows[shown].tolist(),
            "loss": [float(loss[i]) for i in shown],
        }
    return Section("errors", TITLE, " ".join(headlines), tuple(blocks), figures)
