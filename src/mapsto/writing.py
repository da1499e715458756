"""How a text right of the arrow is written, said and measured: what differs between the kinds of heads that a text has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.metrics import Metric
from mapsto.types.base import Head

Values = Sequence[str | None]


@dataclass(frozen=True)
class Writing:
    """learn: training texts, and the options tokenizer, size and max, and texts to learn tokens from in place of them -> what the room
    learns, {"kind", "codes" or "alphabet", "most"}. tokens: texts, kind, codes, alphabet -> token numbers, int32 (n,) each, nothing for a missing
    one. head: width, room -> Head. metrics: of a fitted room. said: of the most tokens, for the line that says how it is written. whole: is a
    text learned from its beginning to its end, so that a longer one than `most` cannot be?"""

    learn: Callable[[Values, str | None, int | None, int | None, Values], dict[str, Any]]
    tokens: Callable[[Values, str, str, str], list[np.ndarray]]
    head: Callable[[int, Any], Head]
    metrics: Callable[[Any], tuple[Metric, ...]]
    said: Callable[[int], str]
    whole: bool = False
