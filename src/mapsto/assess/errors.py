"""The worst errors as what they are: pictures, texts, rows; with the truth, what was said, and how surely."""

from __future__ import annotations

import numpy as np

from mapsto.assess.base import View, short
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
        loss = output.row_loss(predicted, target)
        order = np.searchsorted(rows, view.mistakes(slot))
        shown = order[: max(4, SHOWN // len(outputs))]
        numbers = output.graded
        told = (
            f"the largest error is {short(float(loss[order[0]]))}"
            if numbers and len(order)
            else f"{len(order):,} of {len(rows):,} rows are wrong"
            if len(order)
            else "no row is wrong"
        )
        half = f", half of them below {short(float(np.median(loss)))}" if numbers else ""
        headlines.append(view.titled(slot, f"{told}{half}."))
        if len(shown):
            caption = (
                "rows with the largest errors."
                if numbers
                else "wrong answers, the surest first."
                if output.exclusive
                else "wrong answers, those first by which the truth was least likely."
            )
            blocks.append(Gallery(view.items(slot, rows[shown]), view.titled(slot, caption)))
        figures[slot] = {
            "wrong": len(order),
            "n": len(rows),
            "rows": rows[shown].tolist(),
            "loss": [float(loss[i]) for i in shown],
        }
    return Section("errors", TITLE, " ".join(headlines), tuple(blocks), figures)
