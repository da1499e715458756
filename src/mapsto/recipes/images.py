"""One picture: a residual net from scratch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mapsto.config import Budget, Training
from mapsto.recipes._choice import INPUTS, Facts, Recipe, input_types
from mapsto.recipes._sizes import CONVOLUTIONS, batch_below, resnet9_multiplications

WIDTHS = (32, 48, 64)
PASSES = 45  # over the rows
FEW = 1_000  # rows, up to which a linear model may know what a net has not seen often enough


def decide(facts: Facts) -> dict[str, Any]:
    """Wider where the budget allows `PASSES`, more augmentation where rows are few."""
    rows, side = facts.rows, facts.input_type("image").side
    few = rows <= 20_000 and side >= 16  # of 8 pixels, two cut out are a digit's stroke
    batch = batch_below(rows, 16, 8, 128)
    training = replace(CONVOLUTIONS, batch=batch)
    return {
        "options": {
            "width": _width(facts, side, training),
            **({"line": True} if rows <= FEW and facts.linear else {}),
        },
        "training": training,
        "learner_options": {"cutmix": 0.5} if few and facts.mixable else {},
        "type_options": {
            "input": {"image": {"augment": "crop colour cutout" if few else "crop"}},
            "output": {"category": {"smoothing": 0.1}},
        },
        "budget": Budget(epochs=max(200.0, 4000 * batch / rows), patience=0.0),
        # on few validation rows accuracy is too coarse to choose by
        "metric": "log_loss" if rows < 6000 else None,
    }


def _width(facts: Facts, side: int, training: Training) -> int:
    """The widest that sees every row PASSES times: two are timed, and what lies between is as its work; where
    no step can be timed, by what the machine reaches at best."""
    narrow = facts.measured_passes({"width": WIDTHS[0]}, training)
    if narrow is None:
        passes = facts.passes(resnet9_multiplications(side))
        return WIDTHS[0] if passes is None else 16 * int(2 * min(2.0, max(1.0, (passes / PASSES) ** 0.5)))
    wide = facts.measured_passes({"width": WIDTHS[-1]}, training) if narrow >= PASSES else None
    if not wide:
        return WIDTHS[0]

    def passes_of(width: int) -> float:
        share = (width**2 - WIDTHS[0] ** 2) / (WIDTHS[-1] ** 2 - WIDTHS[0] ** 2)
        return 1 / (1 / narrow + share * (1 / wide - 1 / narrow))

    return max(width for width in WIDTHS if width == WIDTHS[0] or passes_of(width) >= PASSES)


RECIPES = (
    Recipe(
        pattern="image -> any",
        rank=INPUTS,
        fits=lambda signature: input_types(signature) == ["image"],
        model="resnet9",
        decide=decide,
        why="one picture: a residual net from scratch",
    ),
)
