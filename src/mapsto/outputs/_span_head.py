"""The head of a stretch of a text (`mapsto.outputs.span`): it points at the first and the last word.

Letters: B rows of a batch, T words of the text, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Padded
from mapsto.outputs._head import Head
from mapsto.types.text.word_stems import Placed

if TYPE_CHECKING:
    from mapsto.outputs.base import Output
    from mapsto.prediction import Prediction


@dataclass(frozen=True)
class Pointed:
    """Scores (B, T) of each word as the first and as the last of an answer, with where the words stand:
    places (B, T, 2), lengths (B,)."""

    start: Tensor
    end: Tensor
    places: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        return torch.arange(self.start.shape[1], device=self.start.device) < self.lengths[:, None]

    def logs(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, T) of both; of texts without words all alike."""
        known = self.mask | (self.lengths == 0)[:, None]
        return tuple(side.float().masked_fill(~known, -1e9).log_softmax(1) for side in (self.start, self.end))  # type: ignore[return-value]


class Pointers(Head):
    """Where an answer begins and ends: tokens (B, T, D), of the text that it stands in -> `Pointed`."""

    expects = "tokens"

    def __init__(self, output: Output, width: int):
        super().__init__()
        self.output, self.most = output, output.type.most
        self.linear = nn.Linear(width, 2)

    def forward(self, hidden: Placed | Tensor) -> Pointed:
        if not isinstance(hidden, Placed):  # words without places: each is a character long
            begin = torch.arange(hidden.shape[1], device=hidden.device).expand(hidden.shape[:2])
            lengths = torch.full(hidden.shape[:1], hidden.shape[1], device=hidden.device)
            hidden = Placed(hidden, lengths, places=torch.stack([begin, begin + 1], -1))
        assert hidden.places is not None
        start, end = self.linear(hidden.values).unbind(-1)
        return Pointed(start, end, hidden.places, hidden.lengths)

    def loss(self, output: Pointed, target: Any, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Nats of the first word and of the last one, of the first answer. Answers beyond what was read count
        nothing."""
        target = target.values if isinstance(target, Padded) else target
        begin, behind = target[:, 1:2], target[:, 2:3]
        start = ((output.places[..., 1] <= begin) & output.mask).sum(1)  # (B,): words that end before it
        end = ((output.places[..., 0] < behind) & output.mask).sum(1) - 1
        known = (start < output.lengths) & (end >= start) & (target[:, 0] > 0)
        known = known if present is None else known & present
        nats = -sum(
            logs.gather(1, at.clamp(0, logs.shape[1] - 1)[:, None])[:, 0]
            for logs, at in zip(output.logs(), (start, end), strict=True)
        )
        return torch.where(known, nats, 0.0), known.float()

    def predict(self, output: Pointed, options: Any = None) -> dict[str, Tensor]:
        """The likeliest stretch of at most so many words: characters begin, end (B,), and its probability."""
        start, end = output.logs()
        best, first, last = (
            torch.full(start.shape[:1], value, device=start.device) for value in (-torch.inf, 0, 0)
        )
        # behind the end nothing can end: so every stretch is tried of texts of any length, in graphs too
        end = F.pad(end, (0, self.most), value=-torch.inf)
        for more in range(self.most):
            value, at = (start + end[:, more : more + start.shape[1]]).max(1)
            better = value > best
            best, first, last = (
                torch.where(better, value, best),
                torch.where(better, at, first),
                torch.where(better, at + more, last),
            )
        row = torch.arange(start.shape[0], device=start.device)
        begin, behind = output.places[row, first, 0], output.places[row, last, 1]
        there = output.lengths > 0
        return {"begin": begin * there, "end": behind * there, "probability": best.exp() * there}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        return self.output.decode(predicted)
