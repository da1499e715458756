"""`mapsto.generation.search` with a net of PyTorch's, on whatever device it is.

The likeliest tokens are found where the logits lie, and they alone come back: a wait for a GPU a token, as
any search takes that asks whether all answers have ended. Letters: N answers, W tokens asked for, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.generation import search
from mapsto.generation.cached import drawn as drawn_token
from mapsto.generation.sampling import Sampling
from mapsto.generation.search import LOWEST, Found
from mapsto.types.text.tokenizers import NEVER

NextLogits = Callable[[Tensor, Any], Tensor]


@torch.inference_mode()
def beam(
    next_logits: NextLogits,
    state: Any,
    rows: int,
    most: int,
    width: int,
    penalty: float,
    device: Any = "cpu",
) -> Found:
    """next_logits(tokens (B · K,), state) -> (B · K, V); state.choose(rows, answers) goes on with some. most:
    tokens an answer has at most. width 1 is greedy."""
    return search.beam(Stepping(next_logits, state, device), rows, most, width, penalty)


@torch.inference_mode()
def drawn(
    next_logits: NextLogits,
    state: Any,
    rows: int,
    most: int,
    uniform: np.ndarray,
    how: Sampling,
    device: Any = "cpu",
) -> Found:
    """Answers whose tokens are drawn one by one. uniform (most, B) in [0, 1)."""
    return search.drawn(Stepping(next_logits, state, device), rows, most, uniform, how)


class Stepping:
    """A net and what it keeps of the answers, as `search.Steps`."""

    def __init__(self, next_logits: NextLogits, state: Any, device: Any):
        self.next_logits, self.state, self.device = next_logits, state, device

    def _logs(self, tokens: np.ndarray) -> Tensor:
        """(N, V): log-probabilities of what follows."""
        logits = self.next_logits(torch.from_numpy(tokens).to(self.device), self.state)
        logits[:, list(NEVER)] = LOWEST
        return logits.log_softmax(1)

    def likeliest(self, tokens: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        logs = self._logs(tokens)
        found = logs.max(1, keepdim=True) if count == 1 else logs.topk(min(count, logs.shape[1]), 1)
        return found[0].float().cpu().numpy(), found[1].cpu().numpy()

    def drawn(self, tokens: np.ndarray, uniform: np.ndarray, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
        logs = self._logs(tokens)
        token = drawn_token(logs, torch.from_numpy(uniform).to(self.device), how)
        return token.cpu().numpy(), logs.gather(1, token[:, None])[:, 0].float().cpu().numpy()

    def choose(self, rows: np.ndarray, answers: np.ndarray) -> None:
        self.state.choose(*(torch.from_numpy(one).to(self.device) for one in (rows, answers)))
