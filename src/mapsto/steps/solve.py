"""Weights that are solved rather than learned: of the model `baseline`, or of another file that says so
(`models.solved`) and whose nets end behind a `models.baseline.Body` in heads that take a line; and of the
linear models that stand beside the nets of a bag. A body that brings features of its own, `plain(inputs)` ->
(B, F), makes them once of every training row."""

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
    model: Any = learner.model
    if models.solved(run.choice.model, run.choice.model_options):
        if (without := _solve(run, model, store, store.rows("train"), every=True)) is not None:
            raise ConfigError(
                f"'{without}': a linear model cannot answer it, so there is none to use.\nLeave --model out."
            )
        return Budget(steps=0)
    lines = getattr(model, "lines", None)
    penalties: dict[str, dict[int, float]] = {}  # chosen once, for folds differ little
    for number, line in enumerate(lines.of if lines is not None else ()):
        _solve(run, line, store, learner.rows_of_net(number), every=False, penalties=penalties)
    return run.choice.budget


def _solve(
    run: Run,
    net: Any,
    store: Any,
    rows: np.ndarray,
    every: bool,
    penalties: dict[str, dict[int, float]] | None = None,
) -> str | None:
    """The linear models of a net's outputs into its weights; of every output, or of those that can hold one.
    The first output that has none."""
    from mapsto.measure.baseline import features_of
    from mapsto.measure.solved import solve
    from mapsto.models.baseline import UNCUT

    features = features_of(store, rows, plain=_own_features(net))
    without = None
    for number, (name, head) in enumerate(net.heads.items()):
        asked = name in features and (every or head.holds_line)
        chosen = None if penalties is None else penalties.setdefault(name, {})
        found = solve(features[name], run.output(name), penalties=chosen) if asked else None
        if found is None:
            without = without or name
            continue
        weight, bias = found.weight, found.bias
        with torch.no_grad():
            if not number:  # where other outputs are known in other rows, they are read as the first is
                net.body.centre.copy_(torch.from_numpy(found.centre))
                net.body.scale.copy_(torch.from_numpy(found.scale))
                net.body.most.fill_(min(found.most, UNCUT))
            head.take_line(torch.from_numpy(weight), torch.from_numpy(bias))
    return without


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
