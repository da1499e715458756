"""One of several classes: softmax and cross-entropy, honest probabilities, sets that hold the true class nine
times in ten.

A calibration is {"kind": "classes", "temperature", "set", "coverage", "n"}; None stands for "not known".
Letters: n rows, B rows of a batch, K classes, M members of an ensemble, D width, U units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.metrics import Arrays, Metric
from mapsto.metrics.classes import classification
from mapsto.outputs.base import COVERAGE, TINY, Coverage, Head, Output, SectionPart, mean_of_views
from mapsto.prediction import Prediction, with_sets

if TYPE_CHECKING:
    pass

MOST_WEIGHT = 100.0  # of a class when balancing: one row in a million must not drown the rest


@dataclass(frozen=True)
class Classes(Output):
    """Predicted: probability (n, K), value (n,) class numbers; target (n,) class numbers, -1 not known."""

    task: ClassVar[str] = "classification"
    exclusive: ClassVar[bool] = True
    link: ClassVar[str] = "softmax"
    trivial: ClassVar[str] = "majority"

    def head(self, width: int) -> Head:
        return ClassesHead(self.type, width)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return classification(len(self.type.classes))

    # ---- row by row ----

    def row_loss(self, predicted: Arrays, target: np.ndarray) -> np.ndarray:
        """The log loss."""
        right = predicted["probability"][np.arange(len(target)), np.maximum(target, 0)].astype(np.float64)
        return np.where(target >= 0, -np.log(np.maximum(right, TINY)), np.nan)

    def wrong(self, predicted: Arrays, target: np.ndarray) -> np.ndarray:
        return (target >= 0) & (predicted["value"] != target)

    def truth(self, target: np.ndarray, predicted: Arrays) -> dict[str, np.ndarray]:
        probability = np.zeros((len(target), predicted["probability"].shape[1]), np.float32)
        probability[np.arange(len(target)), np.maximum(target, 0)] = 1
        return {"probability": probability, "value": np.maximum(target, 0)}

    # ---- calibration ----

    def calibrate(self, predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
        """Temperature scaling (Guo et al. 2017): p^(1/T), renormalised, T minimising log loss; and sets."""
        from mapsto.outputs import _conformal as conformal
        from mapsto.outputs._temperature import temperature_of, tempered

        probability = predicted["probability"]
        inside = (target >= 0) & (target < probability.shape[1]) & np.isfinite(probability).all(1)
        probability, target = probability[inside], target[inside]
        found = temperature_of(probability, target) if probability.shape[1] > 1 else None
        honest = probability if found is None else tempered(probability, found)
        return {
            "kind": "classes",
            "temperature": found,
            "set": conformal.class_set(honest, target),
            "coverage": COVERAGE,
            "n": len(target),
        }

    def calibrated(self, predicted: Arrays, fitted: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """With the temperature applied, and `set` (n, K) bool where sets are known."""
        found = dict(predicted)
        if not fitted:
            return found
        from mapsto.outputs import _conformal as conformal
        from mapsto.outputs._temperature import tempered

        if (temperature := fitted.get("temperature")) is not None:
            found["probability"] = tempered(predicted["probability"], temperature)
        if (least := fitted.get("set")) is not None:
            found["set"] = conformal.in_class_set(found["probability"], least)
        return found

    # ---- what is trivial to answer ----

    @property
    def loss_metric(self) -> str:
        return "log_loss"

    def as_numbers(self, target: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One-hot."""
        wanted = np.zeros((len(target), self.width), np.float32)
        wanted[np.arange(len(target)), target] = 1
        return wanted, np.ones((len(target), 1), np.float32)

    def from_numbers(self, means: np.ndarray) -> dict[str, np.ndarray]:
        return {"probability": means.astype(np.float32), "value": means.argmax(1)}

    # ---- what questions ask ----

    def confusion(self, predicted: Arrays, target: np.ndarray) -> SectionPart:
        """A confusion matrix, and the most confused pairs."""
        from mapsto.outputs._class_figures import confusion

        return confusion(self.type.classes, predicted, target)

    def coverage(self, predicted: Arrays, target: np.ndarray, fitted: Mapping[str, Any]) -> Coverage:
        """Of sets: by their size, and class by class."""
        from mapsto.outputs._class_figures import coverage

        return coverage(self.type.classes, predicted, target)

    def chances(self, predicted: Arrays) -> np.ndarray:
        return predicted["probability"]

    def confidence(self, predicted: Arrays, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, K) and (n,)."""
        return predicted["probability"], target

    def events(self, predicted: Arrays, target: np.ndarray, units: np.ndarray) -> np.ndarray:
        classes, size = len(self.type.classes), int(units.max(initial=0)) + 1
        known = target >= 0
        value = predicted["value"].astype(np.int64)
        events = ((known, target), (known, value), (known & (value == target), target))
        return np.stack(
            [
                np.bincount(units[on] * classes + of[on], minlength=size * classes).reshape(size, classes)
                for on, of in events
            ]
        ).astype(float)

    def effect(self, clean: Arrays, found: Arrays) -> np.ndarray:
        """The log odds of the class said: they still move where the probability is near 1."""
        from mapsto.outputs._temperature import log_odds

        said = int(clean["value"][0])
        return log_odds(clean["probability"][0, said]) - log_odds(found["probability"][:, said])

    # ---- two runs side by side ----

    def translate_to(
        self, other: Output, predicted: Arrays, target: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """A class that it did not know had no chance."""
        classes = other.type.classes
        place = np.array([classes.index(name) for name in self.type.classes], np.int64)
        probability = np.zeros((len(target), len(classes)), predicted["probability"].dtype)
        probability[:, place] = predicted["probability"]
        told = {**predicted, "probability": probability, "value": place[predicted["value"]]}
        return told, np.where(target >= 0, place[np.maximum(target, 0)], target)


class ClassesHead(Head):
    """Softmax over K classes, cross-entropy. With `balance` a row's loss is weighted, its count stays 1: over
    the training rows the weights average 1."""

    weight: Tensor

    def __init__(self, column_type: Any, width: int):
        super().__init__()
        self.answers, self.smoothing = column_type.answers, column_type.smoothing
        self.linear = nn.Linear(width, len(column_type.vocabulary))
        counts = torch.tensor(column_type.counts, dtype=torch.float32)
        weight = (counts.sum() / (len(counts) * counts.clamp(min=1))).clamp(max=MOST_WEIGHT)
        self.register_buffer(
            "weight", weight if column_type.balance else torch.ones_like(counts), persistent=False
        )
        with torch.no_grad():  # start at the classes' frequencies (Karpathy's recipe, 2019)
            prior = torch.log(counts + 1)
            self.linear.bias.copy_(torch.zeros_like(prior) if column_type.balance else prior - prior.mean())

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, D) -> logits (B, K), or members (B, M, D) -> (B, M, K)."""
        return self.linear(hidden)

    def loss(self, output: Tensor, target: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logs = output.float().log_softmax(-1)
        logs = logs.mean(1) if logs.ndim == 3 else logs  # the mean of the members' losses
        known = target >= 0 if present is None else present & (target >= 0)
        label = target.clamp(min=0)
        right = logs.gather(1, label[:, None])[:, 0]
        per_row = -(1 - self.smoothing) * right - self.smoothing * logs.mean(1)
        return torch.where(known, per_row * self.weight[label], 0.0), known.float()

    def take_line(self, weight: Tensor, bias: Tensor) -> None:
        self.linear.weight.copy_(weight.T)
        self.linear.bias.copy_(bias)

    def merge(self, outputs: Sequence[Tensor], views: Tensor | None) -> Tensor:
        return mean_of_views(outputs)

    def predict(self, output: Tensor, options: Any = None) -> dict[str, Tensor]:
        """Members' mean of log-probabilities, renormalised. On reviews (imdb, a bag and a recurrent net) the
        log loss is .288 where the mean of probabilities has .306, and one temperature can calibrate it; among
        TabM's members, which agree, the two are level.
        """
        logs = output.float().log_softmax(-1)
        probability = (logs.mean(1) if logs.ndim == 3 else logs).softmax(-1)
        return {"probability": probability, "value": probability.argmax(1)}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        probability, value = predicted["probability"], predicted["value"]
        best = np.argsort(-probability, axis=1, kind="stable")[:, :5]
        found = [
            Prediction(
                self.answers[k],
                float(row[k]),
                detail={"probabilities": {self.answers[j]: float(row[j]) for j in top}},
            )
            for row, k, top in zip(probability, value.tolist(), best, strict=True)
        ]
        return with_sets(found, self.answers, predicted)
