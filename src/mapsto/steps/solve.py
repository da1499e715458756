"""Weights that are solved rather than learned: of the model `baseline`, or of another file whose nets end
behind a `Body` in heads that take a line, and which says `SOLVED = True`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mapsto.config import Budget
from mapsto.errors import ConfigError
from mapsto.registry import module

if TYPE_CHECKING:
    from mapsto.learners.base import Learner
    from mapsto.run import Run


def budget_after(run: Run, learner: Learner, store: Any) -> Budget:
    """What is left to learn: nothing, where the model's weights are solved here; else the run's budget.
    ConfigError where an answer has no linear model."""
    if not getattr(module("models", run.choice.model), "SOLVED", False):
        return run.choice.budget
    from mapsto.measure.baseline import features_of
    from mapsto.measure.solved import solve

    features = features_of(store, store.rows("train"))
    net: Any = learner.model
    for number, (name, head) in enumerate(net.heads.items()):
        found = solve(features[name], run.output(name)) if name in features else None
        if found is None:
            raise ConfigError(
                f"'{name}': a linear model cannot answer it, so there is none to use.\nLeave --model out."
            )
        weight, bias = found.weight, found.bias
        with torch.no_grad():
            if not number:  # where other outputs are known in other rows, they are read as the first is
                net.body.centre.copy_(torch.from_numpy(found.centre))
                net.body.scale.copy_(torch.from_numpy(found.scale))
                net.body.most.fill_(found.most)
            head.take_line(torch.from_numpy(weight), torch.from_numpy(bias))
    return Budget(steps=0)
