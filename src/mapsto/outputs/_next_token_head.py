"""The head that says what token comes next, which texts, conversations and preferences share.

Letters: B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.outputs._head import Head
from mapsto.prediction import Prediction
from mapsto.types.text.tokenizers import PADDING


class NextToken(Head):
    """What token follows each: tokens (B, T, D) -> logits (B, T, V). most: tokens read at once; separate:
    shall what begins with a START not see what stands before it in its block?"""

    expects = "tokens"
    writes = "next"

    def __init__(self, width: int, vocabulary: int, most: int, separate: bool = False):
        super().__init__()
        self.vocabulary, self.most, self.separate = vocabulary, most, separate
        self.project = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.project.weight, std=0.02)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.project(hidden)

    def loss(self, output: Tensor, target: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Nats summed over a row's tokens, and how many these are. target (B, T) int64, PADDING where nothing
        is to be said."""
        each = F.cross_entropy(
            output.flatten(0, 1).float(), target.flatten(), reduction="none", ignore_index=PADDING
        )  # (B·T,)
        return each.view(target.shape).sum(1), (target != PADDING).sum(1, dtype=torch.float32)

    def predict(self, output: Tensor, options: Any = None) -> dict[str, Tensor]:
        """What follows the last token: probability (B, V), value (B,)."""
        probability = output[:, -1].float().softmax(-1)
        return {"probability": probability, "value": probability.argmax(-1)}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        """The likeliest token's number and its probability."""
        sure = predicted["probability"].max(-1)
        return [
            Prediction(int(value), float(chance))
            for value, chance in zip(predicted["value"], sure, strict=True)
        ]
