"""Which token comes next: the head that says it and its figures, which texts, conversations and preferences
share.

Letters: B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.metrics import Arrays, Metric, ratio_of
from mapsto.outputs.base import Head
from mapsto.prediction import Prediction
from mapsto.types.text.tokenizers import PADDING, pieces_of


def sizes(kind: str, codes: str, alphabet: str) -> np.ndarray:
    """(V,) int64: the bytes of text that each token stands for; 0 for marks."""
    return np.array([len(piece) for piece in pieces_of(kind, codes, alphabet)], np.int64)


class NextToken(Head):
    """What token follows each: tokens (B, T, D) -> logits (B, T, V). most: tokens read at once; apart: shall
    what begins with a START not see what stands before it in its block?"""

    expects = "tokens"
    writes = "next"

    def __init__(self, width: int, vocabulary: int, most: int, apart: bool = False):
        super().__init__()
        self.vocabulary, self.most, self.apart = vocabulary, most, apart
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


def figures(
    bytes_of: np.ndarray, what: str = "a token", context: str = "given those before it in its block"
) -> tuple[Metric, ...]:
    """Metrics of predicted {"nats": (n,)} and target (n, T) tokens, PADDING where none is said: a row is a
    block. bytes_of (V,): bytes a token stands for."""

    def said(target: np.ndarray) -> np.ndarray:
        return (target != PADDING).sum(1)

    def a_token(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        return np.stack([predicted["nats"], said(target)], 1).astype(np.float64)

    def a_byte(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        return np.stack([predicted["nats"] / np.log(2), bytes_of[target].sum(1)], 1).astype(np.float64)

    def perplexity(statistics: np.ndarray) -> float:
        return float(np.exp(ratio_of(statistics)))

    return (
        Metric(
            "loss",
            f"Mean negative logarithm (nats) of the probability of {what} {context}.",
            a_token,
            ratio_of,
            False,
        ),
        Metric(
            "perplexity",
            f"Exponential of that: among how many equally likely tokens the next one is guessed, {context}.",
            a_token,
            perplexity,
            False,
        ),
        Metric(
            "bits_per_byte",
            "Bits that the text takes when coded by these probabilities, for each of its bytes in utf-8.",
            a_byte,
            ratio_of,
            False,
        ),
    )
