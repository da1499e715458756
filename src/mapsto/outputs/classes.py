"""One of several classes: softmax and cross-entropy, honest probabilities, sets that hold the true class nine
times in ten.

A calibration is {"kind": "classes", "temperature", "set", "coverage", "n"}; None stands for "not known".
Letters: n rows, K classes, U units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mapsto.metrics import Arrays, Metric
from mapsto.metrics.classes import classification
from mapsto.outputs.base import COVERAGE, TINY, Coverage, Output, SectionPart
from mapsto.prediction import Prediction, with_sets

if TYPE_CHECKING:
    from mapsto.outputs._head import Head


@dataclass(frozen=True)
class Classes(Output):
    """Predicted: probability (n, K), value (n,) class numbers; target (n,) class numbers, -1 not known."""

    task: ClassVar[str] = "classification"
    exclusive: ClassVar[bool] = True
    link: ClassVar[str] = "softmax"
    trivial: ClassVar[str] = "majority"

    def head(self, width: int) -> Head:
        from mapsto.outputs._classes_head import ClassesHead

        return ClassesHead(self, width)

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

    def decode(self, predicted: Arrays) -> list[Prediction]:
        probability, value = predicted["probability"], predicted["value"]
        best = np.argsort(-probability, axis=1, kind="stable")[:, :5]
        found = [
            Prediction(
                self.type.answers[k],
                float(row[k]),
                detail={"probabilities": {self.type.answers[j]: float(row[j]) for j in top}},
            )
            for row, k, top in zip(probability, value.tolist(), best, strict=True)
        ]
        return with_sets(found, self.type.answers, predicted)

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
