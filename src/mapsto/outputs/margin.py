"""Which of two answers people prefer: how much more of the net's favour the chosen one gained than the
rejected one.

What is learned is still what to say next, so a run that learned it can talk. Letters: n pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mapsto.metrics import Arrays, Metric, mean_of
from mapsto.outputs._talk import TALK
from mapsto.outputs.base import Output, Usage

if TYPE_CHECKING:
    from mapsto.outputs._head import Head


@dataclass(frozen=True)
class Margin(Output):
    """Predicted: margin (n,); no target is needed, zeros (n,) stand in its place."""

    task: ClassVar[str] = "generation"
    unit: ClassVar[str] = "pairs"
    usage: ClassVar[Usage | None] = TALK

    def head(self, width: int) -> Head:
        from mapsto.outputs._next_token_head import NextToken

        return NextToken(width, self.type.vocabulary_size, self.type.most, separate=True)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (
            Metric(
                "accuracy",
                "Share of pairs whose chosen answer gained more in probability than the rejected one; ties"
                " count half.",
                _right,
                mean_of,
            ),
            Metric(
                "margin",
                "Mean of β · (gain of the chosen answer − gain of the rejected one), in nats over where it"
                " started.",
                _margin,
                mean_of,
            ),
            Metric(
                "loss",
                "Mean negative logarithm of the probability that the margin gives to the chosen answer"
                " (nats).",
                _loss,
                mean_of,
                False,
            ),
        )


def _right(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return ((np.sign(predicted["margin"]) + 1) / 2)[:, None].astype(np.float64)


def _margin(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return predicted["margin"][:, None].astype(np.float64)


def _loss(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, -predicted["margin"].astype(np.float64))[:, None]
