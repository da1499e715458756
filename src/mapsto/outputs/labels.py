"""Any number of labels at once: a logistic score each, honest probabilities, sets that hold nine in ten of a
row's true labels.

A calibration is {"kind": "labels", "temperature", "set", "coverage", "n"}; None stands for "not known".
Letters: n rows, B rows of a batch, K labels, M members of an ensemble, D width, U units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mapsto.metrics import Arrays, Metric
from mapsto.metrics.labels import MULTI_LABEL
from mapsto.outputs.base import (
    COVERAGE,
    TINY,
    Coverage,
    Groups,
    Output,
    SectionPart,
    largest,
)
from mapsto.prediction import Prediction, with_sets

if TYPE_CHECKING:
    from mapsto.blocks import Block
    from mapsto.outputs._head import Head


@dataclass(frozen=True)
class Labels(Output):
    """Predicted: probability (n, K), value (n, K) bool; target (n, K) of 1, 0 and, not known, -1."""

    task: ClassVar[str] = "classification"
    noun: ClassVar[str] = "label"
    link: ClassVar[str] = "logistic"
    trivial: ClassVar[str] = "majority"

    def head(self, width: int) -> Head:
        from mapsto.outputs._labels_head import LabelsHead

        return LabelsHead(self, width)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return MULTI_LABEL

    # ---- row by row ----

    def row_loss(self, predicted: Arrays, target: np.ndarray) -> np.ndarray:
        """The log loss summed over a row's known labels."""
        probability = predicted["probability"].astype(np.float64)
        of_truth = np.where(target > 0, probability, 1 - probability)
        known = target >= 0
        return np.where(
            known.any(1),
            -np.log(np.maximum(of_truth, TINY), where=known, out=np.zeros_like(of_truth)).sum(1),
            np.nan,
        )

    def wrong(self, predicted: Arrays, target: np.ndarray) -> np.ndarray:
        return ((target >= 0) & (predicted["value"].astype(bool) != (target > 0))).any(1)

    def truth(self, target: np.ndarray, predicted: Arrays) -> dict[str, np.ndarray]:
        return {"probability": (target > 0).astype(np.float32), "value": target > 0}

    # ---- calibration ----

    def calibrate(self, predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
        """One temperature for all labels: each known label of each row counts as a case of two classes."""
        from mapsto.outputs import _conformal as conformal
        from mapsto.outputs._temperature import as_two_classes, temperature_of, tempered_labels

        probability = predicted["probability"]
        inside = np.isfinite(probability).all(1)
        probability, target = probability[inside], target[inside]
        known = target >= 0
        found = temperature_of(
            as_two_classes(probability[known]), (target[known] > 0).astype(np.int64), np.nonzero(known)[0]
        )
        honest = probability if found is None else tempered_labels(probability, found)
        return {
            "kind": "labels",
            "temperature": found,
            "set": conformal.label_set(honest, target),
            "coverage": COVERAGE,
            "n": len(target),
        }

    def calibrated(self, predicted: Arrays, fitted: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """With the temperature applied, and `set` (n, K) bool where sets are known. On which side of one half
        a label lies stays the same."""
        found = dict(predicted)
        if not fitted:
            return found
        from mapsto.outputs import _conformal as conformal
        from mapsto.outputs._temperature import tempered_labels

        if (temperature := fitted.get("temperature")) is not None:
            found["probability"] = tempered_labels(predicted["probability"], temperature)
        if (least := fitted.get("set")) is not None:
            found["set"] = conformal.in_label_set(found["probability"], least)
        return found

    def decode(self, predicted: Arrays) -> list[Prediction]:
        found = []
        for row, value in zip(predicted["probability"], predicted["value"], strict=True):
            named = {name: float(p) for name, p in zip(self.type.answers, row, strict=True)}
            found.append(
                Prediction(
                    [name for name, held in zip(self.type.answers, value, strict=True) if held],
                    detail={"probabilities": named},
                )
            )
        return with_sets(found, self.type.answers, predicted)

    # ---- what is trivial to answer ----

    def as_numbers(self, target: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known = present.reshape(len(target), -1) & (target >= 0)  # (n, K); present may be (n,)
        return np.where(known, target, 0).astype(np.float32), known.astype(np.float32)

    def from_numbers(self, means: np.ndarray) -> dict[str, np.ndarray]:
        return {"probability": means.astype(np.float32), "value": means > 0.5}

    # ---- what questions ask ----

    def confusion(self, predicted: Arrays, target: np.ndarray) -> SectionPart:
        """Per label hits, misses and false alarms; and which label is missed where another is falsely
        said."""
        from mapsto.blocks import Table

        names = self.type.classes
        value, true, known = predicted["value"].astype(bool), target == 1, target >= 0
        missed, false = true & ~value, known & ~true & value
        counts = (true & value, missed, false, known & ~true & ~value)
        each = tuple((name, *(int(part[:, k].sum()) for part in counts)) for k, name in enumerate(names))
        # (K, K): label i missed in rows where j is falsely said
        together = missed.T.astype(np.int64) @ false.astype(np.int64)
        pairs = largest(together)
        wrong, n = int((missed | false).sum()), int(known.sum())
        told = (
            f"{wrong:,} of {n:,} labels are wrong ({wrong / max(1, n):.1%}): {int(missed.sum()):,} missed,"
            f" {int(false.sum()):,} said falsely."
        )
        columns = ("label", "found", "missed", "said falsely", "rightly not said")
        blocks: list[Block] = [Table(columns, each, "what becomes of each label.")]
        if pairs:
            rows = tuple((names[i], names[j], int(together[i, j])) for i, j in pairs)
            blocks.append(Table(("missed", "said instead", "rows"), rows, "the most confused pairs."))
        figures = {
            "wrong": wrong,
            "n": n,
            "missed": int(missed.sum()),
            "false": int(false.sum()),
            "pairs": [[names[i], names[j], int(together[i, j])] for i, j in pairs],
        }
        return SectionPart(told, tuple(blocks), figures)

    def coverage(self, predicted: Arrays, target: np.ndarray, fitted: Mapping[str, Any]) -> Coverage:
        """Of sets: the share of a row's true labels that they hold, and of each label of its rows."""
        from mapsto.outputs import _conformal as conformal

        share = conformal.found_of_labels(predicted["set"], target)
        if not np.isfinite(share).any():
            return Coverage(share, "no row has a label that a set could hold.")
        size = float(predicted["set"].sum(1).mean())
        parts = [
            (name, predicted["set"][target[:, k] == 1, k])
            for k, name in enumerate(self.type.classes)
            if (target[:, k] == 1).any()
        ]
        return Coverage(
            share,
            "the 90% sets hold {coverage:.1%} of a row's true labels ({low:.1%} – {high:.1%}) on {n:,} rows"
            f" that have any, and {size:.1f} labels in the mean.",
            {"size": size},
            groups=Groups("share of the rows of each label whose set holds it", "label", parts),
        )

    def chances(self, predicted: Arrays) -> np.ndarray:
        return predicted["probability"]

    def confidence(self, predicted: Arrays, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(m,) and (m,) of all labels together, row by row."""
        return predicted["probability"].reshape(-1), target.reshape(-1)

    def events(self, predicted: Arrays, target: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Labels that are not known count in none."""
        said = predicted["value"].astype(bool) & (target >= 0)
        found = np.zeros((3, int(units.max(initial=0)) + 1, len(self.type.classes)))
        for i, event in enumerate((target == 1, said, (target == 1) & said)):
            np.add.at(found[i], units, event)
        return found

    def effect(self, clean: Arrays, found: Arrays) -> np.ndarray:
        """The log odds of the surest label."""
        from mapsto.outputs._temperature import log_odds

        surest = int(clean["probability"][0].argmax())
        return log_odds(clean["probability"][0, surest]) - log_odds(found["probability"][:, surest])

    # ---- two runs side by side ----

    def translate_to(
        self, other: Output, predicted: Arrays, target: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        place = [self.type.classes.index(name) for name in other.type.classes]
        return {name: values[:, place] for name, values in predicted.items()}, target[:, place]
