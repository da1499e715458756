"""Texts that are learned by themselves (`-> text`): how they are written as tokens, the head that says what
comes next, and its figures.

Letters: B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.cells import Continued
from mapsto.metrics import Arrays, Metric, ratio_of
from mapsto.prediction import Prediction
from mapsto.types.base import Head
from mapsto.types.text.pretrained import PUBLIC
from mapsto.types.text.targets import TextTarget, Values
from mapsto.types.text.tokenizers import PADDING, START, alphabet_of, byte_pairs, pieces_of, token_numbers

# characters of training text up to which single characters are the better tokens, where these are few
SHORT = 5_000_000
LETTERS = 256  # different characters that are few
CHARACTERS_A_PIECE = 1_000  # of training text: a rarer piece is not learned
TRIED = 100_000  # characters on which it is seen how many tokens a text makes
BLOCK = 128  # tokens that are read at once, where nobody says otherwise
BLOCKS = 64  # that a training text should fill at least


def learned_from(
    values: Values,
    tokenizer: str | None,
    size: int | None,
    most: int | None,
    beside: Values = (),
    own: str = "",
) -> dict[str, Any]:
    """What a text's room learns to write it: {"kind", "codes" or "alphabet", "most"}. values: training texts,
    or a sample of them. own: a public model's tokens, in place of learned ones."""
    texts = [value for value in values if value]
    characters = sum(map(len, texts))
    few = characters <= SHORT and len(alphabet_of(texts, LETTERS + 1)) <= LETTERS
    kind = tokenizer or ("char" if few else "bpe")
    if own:
        found: dict[str, Any] = {"kind": PUBLIC, "codes": own}
    elif kind == "char":
        found = {"kind": kind, "alphabet": alphabet_of(texts, size or 5_000)}
    else:
        found = {"kind": kind, "codes": byte_pairs(texts, size, CHARACTERS_A_PIECE)}
    some = "".join(text[:TRIED] for text in texts[:64])[:TRIED]
    (tokens,) = written([some], **{"codes": "", "alphabet": "", **found})
    filled = int(len(tokens) / max(1, len(some)) * characters) // BLOCKS // 8 * 8
    return {**found, "most": most or int(min(BLOCK, max(8, filled)))}


def written(values: Values, kind: str, codes: str, alphabet: str) -> list[np.ndarray]:
    """Texts as token numbers, int32 (n,) each: where a document begins a START, which also ends the one
    before; nothing for what is missing."""
    begins = [[] if value is None or isinstance(value, Continued) else [START] for value in values]
    found = token_numbers(values, kind, codes, alphabet)
    return [
        np.concatenate([np.array(first, np.int32), tokens])
        for first, tokens in zip(begins, found, strict=True)
    ]


def sizes(kind: str, codes: str, alphabet: str) -> np.ndarray:
    """(V,) int64: the bytes of text that each token stands for; 0 for marks."""
    return np.array([len(piece) for piece in pieces_of(kind, codes, alphabet)], np.int64)


class NextToken(Head):
    """What token follows each: tokens (B, T, D) -> logits (B, T, V). most: tokens read at once; apart: shall
    what begins with a START not see what stands before it in its block?"""

    expects = "tokens"

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


TARGET = TextTarget(
    learned_from,
    written,
    lambda width, column_type: NextToken(width, column_type.vocabulary_size, column_type.most),
    lambda column_type: figures(sizes(column_type.kind, column_type.codes, column_type.alphabet)),
    lambda most: f"and learned in blocks of {most} tokens",
)
