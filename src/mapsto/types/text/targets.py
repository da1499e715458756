"""How a text right of the arrow is written, said and measured: what differs between the kinds of heads that a
text has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.batch import Batch, Ragged
from mapsto.metrics import Metric
from mapsto.types.base import Baseline, Head

Values = Sequence[str | None]


@dataclass(frozen=True)
class TextTarget:
    """learn: training texts, the options tokenizer, size and max, texts to learn tokens from in place of
    them, perhaps a public model's tokens (`mapsto.types.text.pretrained`) -> what the room learns, {"kind",
    "codes" or "alphabet", "most"}. tokens: texts, kind, codes, alphabet -> token numbers, int32 (n,) each,
    nothing for a missing one. head: width, room -> Head. metrics: of a fitted room. said: of the most tokens,
    for the line that says how it is written. whole: is a text learned from its beginning to its end, so that
    a longer one than `most` cannot be? takes: encoded texts -> steps of the input (n,) that each takes at
    least, where they are counted. simple: the slot's name and training batches -> what a simple rule
    answers."""

    learn: Callable[..., dict[str, Any]]
    tokens: Callable[[Values, str, str, str], list[np.ndarray]]
    head: Callable[[int, Any], Head]
    metrics: Callable[[Any], tuple[Metric, ...]]
    said: Callable[[int], str]
    whole: bool = False
    min_input_steps: Callable[[Ragged], np.ndarray | None] = lambda arrays: None
    baseline: Callable[[str, Iterator[Batch]], Baseline | None] = lambda name, batches: None


def too_long(tokens: int, most: int) -> str:
    return (
        f"takes {tokens:,} tokens, more than the {most:,} that are written at most. To cut it, say how many:"
        f" text(max={most})."
    )
