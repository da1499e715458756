"""The figures of a text's next token, which texts and conversations share; its head is in `_next_token_head`.

Letters: V vocabulary.
"""

from __future__ import annotations

import numpy as np

from mapsto.metrics import Arrays, Metric, ratio_of
from mapsto.types.text.tokenizers import PADDING


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
