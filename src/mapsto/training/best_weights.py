"""What validation says while a training runs: which weights are best, whether a goal is reached, whether it
is time to stop."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mapsto.config import Budget
from mapsto.errors import ConfigError
from mapsto.learners.base import Learner, Scores
from mapsto.training.budget import goal_of

LOSSES = (
    "log_loss",
    "loss",
)  # metrics that tell equal ones apart: they move also while nothing that is counted changes


class BestWeights:
    """Keeps the best weights and every evaluation. of: (slot, metric) by which weights are judged; None: the
    first metric of the first output that has one. Of equally good weights those of the lower validation loss
    are kept, and of these the later ones.
    """

    def __init__(self, learner: Learner, budget: Budget, of: tuple[str, str] | None):
        self.learner, self.budget, self.of, self.goal = learner, budget, of, goal_of(budget.until)
        self.best: dict[str, Tensor] | None = None
        self.keep: torch.device | None = None  # where the best weights are kept; None: beside the others
        self.value, self.step = float("nan"), 0
        self.history: list[dict[str, Any]] = []

    def update(self, step: int, scores: Scores, **known: Any) -> bool:
        """Scores of the present weights, kept when they are the best so far. Is there anything to judge
        by?"""
        self.history.append({"step": step, "scores": scores, **known})
        value = self._value(scores)
        if value is not None and (self._better(value) or self._as_good(value, scores)):
            self.best = {
                name: held.detach().to(self.keep or held.device, copy=True)
                for name, held in self.learner.model.state_dict().items()
            }
            self.value, self.step = value, step
        return value is not None

    def stop_reason(self, step: int, scores: Scores, every: int, total: int) -> str:
        """Why to stop now; "" to go on."""
        if self.goal and self.of:
            slot, (name, wanted) = self.of[0], self.goal
            if name not in scores[slot]:
                raise ConfigError(
                    f"--until: '{slot}' has no metric '{name}'.\nchoices: {', '.join(scores[slot])}"
                )
            if scores[slot][name] == wanted or self._metric(slot, name).better(scores[slot][name], wanted):
                return f"{name} reached {wanted}"
        patience, waited = self.budget.patience, step - self._reached()
        return (
            f"no better for {waited} steps" if patience and waited >= max(2 * every, patience * total) else ""
        )

    def _reached(self) -> int:
        """The step at which the metric was first as good as its best; the kept weights may be later ones."""
        return next(
            (seen["step"] for seen in self.history if self._value(seen["scores"]) == self.value), self.step
        )

    def _value(self, scores: Scores) -> float | None:
        if not any(scores.values()):
            return None
        if self.of is None:
            slot = next(name for name, values in scores.items() if values)
            self.of = (slot, next(iter(scores[slot])))
        slot, metric = self.of
        return scores.get(slot, {}).get(metric)

    def _better(self, value: float) -> bool:
        assert self.of is not None
        return not math.isnan(value) and (
            self.best is None or self._metric(*self.of).better(value, self.value)
        )

    def _as_good(self, value: float, scores: Scores) -> bool:
        """Of the same value as the best, and of no higher validation loss, where there is one."""
        assert self.of is not None
        if value != self.value:
            return False
        best = next(seen["scores"] for seen in reversed(self.history) if seen["step"] == self.step)
        now, before = (
            next((found[self.of[0]][name] for name in LOSSES if name in found[self.of[0]]), 0.0)
            for found in (scores, best)
        )
        return not now > before

    def _metric(self, slot: str, name: str) -> Any:
        return next(metric for metric in self.learner.metrics(slot) if metric.name == name)

    def note(self) -> dict[str, Any]:
        """What a checkpoint says of it, beside the best weights."""
        return {"best_of": self.of, "best_value": self.value, "best_step": self.step, "history": self.history}

    def restore(self, note: Any, best: dict[str, Tensor]) -> None:
        """The inverse of `note`."""
        self.of = tuple(note["best_of"]) if note["best_of"] else None
        self.value, self.step, self.history = note["best_value"], note["best_step"], list(note["history"])
        self.best = {name: value.to(self.keep or self.learner.device) for name, value in best.items()} or None
