"""Cells of a table: an ensemble of MLPs in one net. Fits whatever has an input and nothing better."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from mapsto.config import Budget
from mapsto.recipes._choice import ANYTHING, Facts, Recipe
from mapsto.recipes._sizes import ADAMW, batch_for

NETS = 5
LEAST = 20  # rows, of which four fifths may tell something
FEW = 5_000  # training rows, up to which nets of folds take seconds and one split is a matter of luck


def decide(facts: Facts) -> dict[str, Any]:
    """Learned encodings of every cell: 400 to 1,500 steps, and never fewer than 14 passes."""
    rows, columns = facts.rows, len(facts.signature.inputs)
    batch = batch_for(rows, 64, 32, 256 if rows < 200_000 else 1024)
    steps = min(1500, max(400, 100 * math.log2(rows / 64 + 1) ** 1.5))
    width, dropout = (96, 0.2) if rows < 1000 else (192, 0.1) if rows < 6000 else (384, 0.15)
    few = _by_folds(facts)
    nets, lines = facts.options.get("nets", NETS), facts.options.get("line", facts.linear)
    return {
        **({"learner": "bagged", "why": _by_folds_words(nets, lines)} if few else {}),
        "options": {
            **({"nets": NETS, "line": facts.linear} if few else {}),
            "width": width,
            "depth": 2,
            "members": 16,
            "embedding": 8 if columns <= 128 else max(2, 1024 // columns),
            "dropout": dropout,
            "adapter": "output",
        },
        "training": replace(ADAMW, lr=2e-3, batch=batch, weight_decay=0.03, warmup=0.03, schedule="cosine"),
        "budget": Budget(epochs=max(14.0, steps * min(batch, rows) / rows), patience=0.4),
        "metric": "log_loss",
    }


def _by_folds(facts: Facts) -> bool:
    """Shall nets learn from all rows but a fifth each? As was asked for, else where rows are few."""
    if facts.learner:
        return facts.learner == "bagged"
    few = LEAST <= facts.rows <= FEW and facts.exchangeable and not facts.started
    return few and facts.options.get("nets", 2) > 1


def _by_folds_words(nets: int, lines: bool) -> str:
    beside = ", beside linear models" if lines else ""
    return f"a small table: {nets} ensembles of MLPs, each without one of {nets} parts of the rows{beside}"


RECIPES = (
    Recipe(
        pattern="cells -> any",
        rank=ANYTHING,
        fits=lambda signature: bool(signature.inputs),
        model="mlp",
        decide=decide,
        why="a table: every cell a token, an ensemble of MLPs in one net",
    ),
)
