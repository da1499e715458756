"""`mapsto.generation.sampling` with a net of PyTorch's, on whatever device it is. Letters: N texts, T
tokens, V vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.generation.sampling import Sampling
from mapsto.types.text.tokenizers import FIRST, START


class Cached:
    """A net that says what comes next, as `sampling.Writer`. cached: does it keep what it computed of the
    tokens before? Without, it reads them all again for each."""

    def __init__(self, model: Any, device: Any = "cpu", cached: bool = True):
        self.model, self.device, self.cached = model, device, cached
        self.most: int = model.most
        self._cache: Any = None
        self._read = torch.empty(0, 0, dtype=torch.long)

    def begin(self, rows: int) -> None:
        self._cache = self.model.cache(rows) if self.cached else None
        self._read = torch.empty(rows, 0, dtype=torch.long, device=self.device)

    @torch.inference_mode()
    def draw(self, tokens: np.ndarray, uniform: np.ndarray, how: Sampling, end: int) -> np.ndarray:
        given = torch.from_numpy(tokens).to(self.device)
        if not self.cached:
            given = self._read = torch.cat([self._read, given], 1)
        logits = self.model.next(given, self._cache)
        return drawn(logits, torch.from_numpy(uniform).to(self.device), how, end).cpu().numpy()


def drawn(logits: Tensor, uniform: Tensor, how: Sampling, end: int = START) -> Tensor:
    """`sampling.drawn` where the logits lie: of 50,000 tokens of 64 texts 13 MB would come back from a GPU
    for each token written. (N, V) -> (N,)."""
    logits = logits.index_fill(
        1, torch.tensor([mark for mark in range(FIRST) if mark != end], device=logits.device), -torch.inf
    )
    if how.temperature <= 0:
        return logits.argmax(1)
    chance, order = (logits.double() / how.temperature).softmax(1).sort(dim=1, descending=True, stable=True)
    before = chance.cumsum(1) - chance
    kept = torch.where(before < how.top_p, chance, 0.0)
    total = kept.cumsum(1)
    place = (total <= uniform[:, None] * total[:, -1:]).sum(1, keepdim=True)
    return order.gather(1, place.clamp(max=logits.shape[1] - 1))[:, 0]
