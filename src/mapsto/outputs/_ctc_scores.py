"""What is said in the log-probabilities of tokens that a net gives each step of its input, without PyTorch:
for exported nets. Their twins on devices, for a net that learns, are in `outputs._ctc_head`.

Letters: B rows, T steps of one, V vocabulary, L tokens of a text, S = 2 L + 1 states: a BLANK before, between
and behind the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapsto.prediction import Prediction
from mapsto.types.text.tokenizers import PADDING

BLANK = PADDING
Rows = Sequence[np.ndarray] | np.ndarray  # of unequal length: (B,) objects, each an array
NOTHING = -1e30  # the logarithm of no probability; infinities would make nan of differences


def likeliest(scores: Rows) -> np.ndarray:
    """(T, V) of each row -> (B,) arrays of tokens (L,): of the likeliest token of each step repeats are one,
    BLANK is none."""
    found = np.empty(len(scores), object)
    for row, each in enumerate(scores):
        said = each.argmax(1)
        new = np.ones(len(said), bool)
        new[1:] = said[1:] != said[:-1]
        found[row] = said[new & (said != BLANK)]
    return found


def log_probabilities(scores: Rows, texts: Rows) -> np.ndarray:
    """(B,): of each row's text, the sum over all ways to say it (Graves et al. 2006)."""
    rows, longest = len(scores), max((len(text) for text in texts), default=0)
    states = np.full((rows, 2 * longest + 1), BLANK)
    for row, text in enumerate(texts):
        states[row, 1 : 2 * len(text) : 2] = text
    skips = np.zeros(states.shape, bool)  # may a state follow the one before the last?
    skips[:, 2:] = (states[:, 2:] != BLANK) & (states[:, 2:] != states[:, :-2])
    sums = np.full(states.shape, NOTHING)
    last = 2 * np.array([len(text) for text in texts], np.int64)
    for step in range(max((len(each) for each in scores), default=0)):
        going = np.array([step < len(each) for each in scores])
        emitted = np.stack([each[min(step, len(each) - 1)] for each in scores]).astype(np.float64)
        emitted = np.take_along_axis(emitted, states, 1)
        if step == 0:
            sums[:, :2] = emitted[:, :2]
            continue
        before, two = _moved(sums, 1), np.where(skips, _moved(sums, 2), NOTHING)
        after = np.maximum(np.logaddexp(np.logaddexp(sums, before), two) + emitted, NOTHING)
        sums = np.where(going[:, None], after, sums)
    at = np.arange(rows)
    ends = np.where(last > 0, sums[at, np.maximum(last - 1, 0)], NOTHING)
    return np.logaddexp(sums[at, last], ends)


def _moved(sums: np.ndarray, by: int) -> np.ndarray:
    found = np.full(sums.shape, NOTHING)
    found[:, by:] = sums[:, : sums.shape[1] - by]
    return found


def text_of(tokens: Any, pieces: Sequence[bytes]) -> str:
    """Token numbers as the text they stand for."""
    return b"".join(pieces[int(token)] for token in tokens).decode("utf-8", "replace")


def predictions_of(predicted: Mapping[str, np.ndarray], pieces: Sequence[bytes]) -> list[Prediction]:
    """Texts, each with its probability where there is one."""
    chances = (
        predicted["probability"].tolist() if "probability" in predicted else [None] * len(predicted["value"])
    )
    return [
        Prediction(text_of(tokens, pieces), chance)
        for tokens, chance in zip(predicted["value"], chances, strict=True)
    ]
