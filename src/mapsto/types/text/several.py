"""Several right answers to one input (`mapsto.types.text.references`) as one row of tokens, without PyTorch.
Letters: n tokens of a reference, N of all of a row's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mapsto.types.text.tokenizers import PADDING

# two references: no text holds it. The START that ends a text would not do, as one that is cut has none
BETWEEN = PADDING


def joined(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Tokens (n,) of each reference -> (N,) of all."""
    between = np.array([BETWEEN], rows[0].dtype) if rows else np.empty(0, np.int32)
    return np.concatenate([part for row in rows for part in (between, row)][1:]) if rows else between


def apart(row: np.ndarray) -> list[np.ndarray]:
    """The inverse of `joined`; an empty row is one empty text."""
    places = [-1, *np.flatnonzero(row == BETWEEN).tolist(), len(row)]
    return [row[low + 1 : high] for low, high in pairwise(places)]


def cut(row: np.ndarray, most: int) -> np.ndarray:
    """Of each reference `most` tokens at most."""
    return joined([part[:most] for part in apart(row)])
