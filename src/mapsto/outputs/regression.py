"""One number, or a date: learned in standard deviations, with an interval that holds the truth nine times in
ten.

A calibration is {"kind": "regression", "halfwidth", "coverage", "n"}, with "scale" where the width depends on
the row; halfwidth None stands for "not known". Letters: n rows, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mapsto.metrics import Arrays, Metric
from mapsto.metrics.numbers import REGRESSION
from mapsto.outputs.base import Coverage, Decoder, Groups, Output, SectionPart, in_words
from mapsto.prediction import Prediction

BIN_ROWS, BINS = 20, 12  # of a curve over numbers: fewest rows of a bin, most bins
DOTS = 1_000  # rows drawn one by one
WIDTHS, WIDTH_ROWS = 5, 30  # parts by width of an interval; fewest rows of a part

if TYPE_CHECKING:
    from mapsto.blocks import Line, Lines
    from mapsto.outputs._head import Head


@dataclass(frozen=True)
class Regression(Output):
    """Predicted: value (n,), spread (n,) between the members; target (n,), nan not known."""

    task: ClassVar[str] = "regression"
    fields: ClassVar[tuple[str, ...]] = ("value", "low", "high")
    graded: ClassVar[bool] = True
    link: ClassVar[str] = "identity"
    trivial: ClassVar[str] = "mean"
    prior: ClassVar[float] = 1e-9
    has_intervals: ClassVar[bool] = True

    def head(self, width: int) -> Head:
        from mapsto.outputs._regression_head import RegressionHead

        return RegressionHead(self, width)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return REGRESSION

    @property
    def loss_metric(self) -> str:
        """That of squares in standard deviations; no metric knows Huber's, nor where far values are cut."""
        return "rmse" if self.type.loss == "mse" and not (self.type.log or self.type.cap) else ""

    def as_loss(self, value: float) -> float:
        return (value / self.type.std) ** 2

    # ---- row by row ----

    def row_loss(self, predicted: Arrays, target: np.ndarray) -> np.ndarray:
        return np.abs(predicted["value"].astype(np.float64) - target)

    def wrong(self, predicted: Arrays, target: np.ndarray) -> np.ndarray:
        """A number always is, more or less."""
        return np.ones(len(target), bool)

    def truth(self, target: np.ndarray, predicted: Arrays) -> dict[str, np.ndarray]:
        return {"value": target}

    # ---- calibration ----

    def calibrate(self, predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
        from mapsto.outputs import _conformal as conformal

        return {"kind": "regression", **conformal.interval(predicted, target)}

    def interval(self, predicted: Arrays, fitted: Mapping[str, Any]) -> np.ndarray | None:
        from mapsto.outputs import _conformal as conformal

        return conformal.halfwidths(predicted, fitted)

    def decode(self, predicted: Arrays) -> list[Prediction]:
        return [Prediction(self.type.shown(value)) for value in predicted["value"].tolist()]

    def predictions(self, head: Decoder, predicted: Arrays, fitted: Mapping[str, Any]) -> list[Prediction]:
        """low and high around every number or date, in the data's own terms."""
        found, half = head.decode(predicted), self.interval(predicted, fitted)
        if half is None:
            return found
        lows, highs = (
            head.decode({**predicted, "value": predicted["value"] + sign * half}) for sign in (-1, 1)
        )
        return [
            replace(one, low=low.value, high=high.value)
            for one, low, high in zip(found, lows, highs, strict=True)
        ]

    # ---- what is trivial to answer ----

    @property
    def width(self) -> int:
        return 1

    def as_numbers(self, target: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        target = target.reshape(len(target), -1)
        known = present.reshape(len(target), -1) & np.isfinite(target)
        return np.where(known, target, 0).astype(np.float64), known.astype(np.float64)

    def from_numbers(self, means: np.ndarray) -> dict[str, np.ndarray]:
        return {"value": means[:, 0]}

    # ---- what questions ask ----

    def confusion(self, predicted: Arrays, target: np.ndarray) -> SectionPart:
        """Truth and residual over the predicted value: some rows as dots, which stay private, and bins of
        equally many rows."""
        from mapsto.blocks import Lines

        value = predicted["value"].astype(np.float64)
        error = target - value
        half, most = (float(q) for q in np.quantile(np.abs(error), (0.5, 0.9)))
        told = (
            f"half of the predictions are within {in_words(half)} of the truth, nine in ten within"
            f" {in_words(most)}."
        )
        order = np.argsort(value, kind="stable")
        bins = np.array_split(order, min(BINS, max(1, len(order) // BIN_ROWS)))
        at = tuple(float(np.median(value[part])) for part in bins)
        residual = _band("true less predicted", at, [error[part] for part in bins])
        left_over = (
            f"what is left over, in {len(bins)} bins of about {len(order) // len(bins):,} rows: the median,"
            " and 10% to 90% of the rows. Above 0 the net says too little, below too much."
        )
        blocks = (
            _against(value, target),
            Lines((residual,), "predicted", "true − predicted", left_over),
        )
        figures = {
            "n": len(value),
            "within_half": half,
            "within_nine_in_ten": most,
            "mean_residual": float(error.mean()),
        }
        return SectionPart(told, blocks, figures)

    def coverage(self, predicted: Arrays, target: np.ndarray, fitted: Mapping[str, Any]) -> Coverage:
        """Of intervals, narrow and wide ones."""
        half = self.interval(predicted, fitted)
        assert half is not None
        inside = (np.abs(predicted["value"].astype(np.float64) - target) <= half).astype(np.float64)
        figures = {
            "width": float(2 * half.mean()),
            "least": float(2 * half.min()),
            "most": float(2 * half.max()),
        }
        told = (
            f"the 90% intervals hold the true number of {{told}}; they are {in_words(figures['width'])} wide"
        )
        if np.ptp(half) == 0:
            return Coverage(inside, f"{told}, all alike.", figures)
        told += (
            f" in the mean, {in_words(figures['least'])} to {in_words(figures['most'])} as the row is easy or"
            " hard."
        )
        order = np.argsort(half, kind="stable")
        cut = np.array_split(order, min(WIDTHS, max(1, len(order) // WIDTH_ROWS)))
        parts = [
            (f"{in_words(float(2 * half[part[0]]))} to {in_words(float(2 * half[part[-1]]))}", inside[part])
            for part in cut
        ]
        groups = Groups("coverage of narrow and wide intervals", "width", parts, ordered=True)
        return Coverage(inside, told, figures, groups=groups)

    def effect(self, clean: Arrays, found: Arrays) -> np.ndarray:
        return clean["value"][0].astype(np.float64) - found["value"]

    def spread(self, predicted: Arrays) -> float:
        """The spread of predicted numbers."""
        return max(float(predicted["value"].std()), 1e-12)


def _against(value: np.ndarray, target: np.ndarray) -> Lines:
    """Rows as dots, the true value over the predicted."""
    from mapsto.batch import key
    from mapsto.blocks import Line, Lines

    shown = np.sort(np.random.default_rng(key("dots", len(value))).permutation(len(value))[:DOTS])
    x, y = (tuple(float(f"{number:.5g}") for number in of[shown].tolist()) for of in (value, target))
    some = f"{len(shown):,} rows by lot" if len(shown) < len(value) else "the rows"
    caption = f"the true value over the predicted, {some} as dots; a perfect net lies on the diagonal."
    dots = Line("a row", x, y, joined=False)
    return Lines((dots,), "predicted", "true", caption, diagonal=True, private=True)


def _band(name: str, at: tuple[float, ...], parts: list[np.ndarray]) -> Line:
    from mapsto.blocks import Line

    low, middle, high = np.array([np.quantile(part, (0.1, 0.5, 0.9)) for part in parts]).T
    return Line(name, at, tuple(middle.tolist()), tuple(low.tolist()), tuple(high.tolist()), points=True)
