"""The head of texts that answer something (`mapsto.outputs.sequence`). Letters: B rows of a batch, T tokens,
D width, V vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Padded
from mapsto.outputs._head import Head
from mapsto.prediction import Prediction

if TYPE_CHECKING:
    from mapsto.outputs._text import TextOutput


class WholeText(Head):
    """What token follows each of an answer: tokens (B, T, D) -> logits (B, T, V). Which answer is best is the
    learner's search."""

    expects = "tokens"
    writes = "answer"

    def __init__(self, width: int, vocabulary: int, most: int, longest: int, output: TextOutput):
        super().__init__()
        self.vocabulary, self.most, self.longest, self.output = vocabulary, most, longest, output
        self.project = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.project.weight, std=0.02)

    @property
    def spelling(self) -> tuple[str, str, str]:
        """What its tokens are made by."""
        return self.output.spelling

    def forward(self, hidden: Tensor) -> Tensor:
        return self.project(hidden)

    def loss(
        self, output: Tensor, target: Padded, present: Tensor | None = None, smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Nats summed over a row's tokens, and how many these are. smoothing: share of the truth that is
        spread over all tokens (Szegedy et al. 2016)."""
        wanted = target.values.masked_fill(~target.mask, -100)
        each = F.cross_entropy(
            output.flatten(0, 1).float(),
            wanted.flatten(),
            reduction="none",
            ignore_index=-100,
            label_smoothing=smoothing,
        )
        return each.view(wanted.shape).sum(1), target.lengths.float()

    def predict(self, output: Tensor, options: Any = None) -> dict[str, Tensor]:
        """The likeliest token at each place, given the true ones before it: value (B, T), and score (B,), the
        sum of their log-probabilities."""
        best, value = output.float().log_softmax(-1).max(-1)
        return {"value": value, "score": best.sum(1)}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        return self.output.decode(predicted)
