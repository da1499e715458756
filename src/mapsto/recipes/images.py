"""One picture: a residual net from scratch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mapsto.config import Budget
from mapsto.recipes._choice import INPUTS, Facts, Recipe, input_types
from mapsto.recipes._sizes import CONVOLUTIONS, batch_below, resnet9_multiplications


def decide(facts: Facts) -> dict[str, Any]:
    """Wider where the budget allows some 45 passes over the rows at width 32, more augmentation where rows
    are few."""
    rows, side = facts.rows, facts.input_type("image").side
    few = rows <= 20_000 and side >= 16  # of 8 pixels, two cut out are a digit's stroke
    batch = batch_below(rows, 16, 8, 128)
    passes = facts.passes(resnet9_multiplications(side))
    width = 32 if passes is None else 16 * int(2 * min(2.0, max(1.0, (passes / 45) ** 0.5)))
    return {
        "options": {"width": width},
        "training": replace(CONVOLUTIONS, batch=batch),
        "learner_options": {"cutmix": 0.5} if few and facts.mixable else {},
        "type_options": {
            "input": {"image": {"augment": "crop colour cutout" if few else "crop"}},
            "output": {"category": {"smoothing": 0.1}},
        },
        "budget": Budget(epochs=max(200.0, 4000 * batch / rows), patience=0.0),
        # on few validation rows accuracy is too coarse to choose by
        "metric": "log_loss" if rows < 6000 else None,
    }


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
