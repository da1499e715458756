"""Weights that are solved rather than learned: of the model `baseline`, or of another file that says so
(`models.solved`) and whose nets end behind a `models.baseline.Body` in heads that take a line. A body that
brings features of its own, `plain(inputs)` -> (B, F), makes them once of every training row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mapsto import models
from mapsto.batch import Field
from mapsto.config import Budget
from mapsto.errors import ConfigError

if TYPE_CHECKING:
    from mapsto.learners.base import Learner
    from mapsto.run import Run


def budget_after(run: Run, learner: Learner, store: Any) -> Budget:
    """What is left to learn: nothing, where the model's weights are solved here; else the run's budget.
    ConfigError where an answer has no linear model."""
    if not models.solved(run.choice.model, run.choice.model_options):
        return run.choice.budget
    from mapsto.measure.baseline import features_of
    from mapsto.measure.solved import solve

    net: Any = learner.model
    features = features_of(store, store.rows("train"), plain=_own_features(net))
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


def _own_features(net: Any) -> Callable[[Mapping[str, Field]], np.ndarray] | None:
    """What the net's body makes of inputs, computed where it lies; None where plain features are its own."""
    if net.body.plain is None:
        return None
    device = net.body.centre.device
    net.eval()

    def features(inputs: Mapping[str, Field]) -> np.ndarray:
        here: dict[str, Any] = dict(inputs)
        found = net.body.plain({name: value.to(device) for name, value in here.items()})
        return found.float().cpu().numpy()

    return features
