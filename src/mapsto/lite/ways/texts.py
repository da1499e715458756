"""Texts that are written by themselves, or behind what was said: `step` reads tokens and says what comes
next, and is given back what it kept of them. Letters: N texts, T tokens, V vocabulary."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mapsto.generation.sampling import Sampling, drawn
from mapsto.lite.ways.answers import NEXT, unwritten
from mapsto.lite.ways.base import Way, ask
from mapsto.types.text.tokenizers import START


class Texts(Way):
    """options: most: tokens that it reads at once; kept: as of `Answers`."""

    graphs: ClassVar[tuple[str, ...]] = ("step",)
    writes: ClassVar[bool] = True

    def writer(self) -> GraphWriter:
        return GraphWriter(self)


class GraphWriter:
    """`sampling.Writer` of a graph."""

    def __init__(self, way: Texts):
        self.session, self.sides = way.sessions["step"], way.options["kept"]["kept"]
        self.most: int = way.options["most"]
        self.kept = np.empty(0, np.float32)

    def warm(self) -> None:
        """One token, so all that takes time once is done."""
        self.begin(1)
        self.logits(np.full((1, 1), START))

    def begin(self, rows: int) -> None:
        self.kept = unwritten(self.sides, {"B": rows, "T": 0})

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens (N, T) behind those that it has read -> (N, V): of the one behind the last."""
        found = ask(self.session, {"last": tokens, "kept": self.kept})
        self.kept = found[NEXT + "kept"]
        return found["logits"]

    def draw(self, tokens: np.ndarray, uniform: np.ndarray, how: Sampling, end: int) -> np.ndarray:
        return drawn(self.logits(tokens), uniform, how, end)
