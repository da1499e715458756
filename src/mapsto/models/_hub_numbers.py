"""Token numbers of a room and those of a public model (`models.hub`): the model's own stand behind mapsto's
marks, n + FIRST. Letters: B batch, T tokens, P tokens of the public model, V numbers of the room."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Padded
from mapsto.types.text.tokenizers import FIRST, START, UNKNOWN

DEAD = (
    -1e4
)  # the logit of a number that is never said: finite, so that a share of the truth may be spread over all


class Numbers(nn.Module):
    """A room's token numbers -> the public model's."""

    def __init__(self, start: int, pad: int, hidden: int):
        super().__init__()
        self.start, self.pad, self.hidden = start, pad, hidden

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T)."""
        found = torch.where(tokens >= FIRST, tokens - FIRST, self.pad)
        return torch.where(tokens == START, self.start, torch.where(tokens == UNKNOWN, self.hidden, found))

    def read(self, texts: Padded) -> tuple[Tensor, Tensor]:
        """Texts that are read, (B, 1 + T) -> numbers (B, T) without the place before them, and which of them
        are there (B, T). A text of nothing is one pad."""
        tokens = self(F.pad(texts.values, (0, max(0, 2 - texts.values.shape[1])))[:, 1:])
        there = (
            torch.arange(tokens.shape[1], device=tokens.device) < (texts.lengths - 1).clamp(min=1)[:, None]
        )
        return tokens, there.long()


class Numbered(nn.Module):
    """Logits of the public model's tokens (…, P) -> of the room's numbers (…, V): its end is mapsto's START,
    other marks are never said."""

    def __init__(self, end: int, known: int):
        super().__init__()
        self.end, self.known = end, known

    def forward(self, logits: Tensor) -> Tensor:
        marks = logits.new_full((*logits.shape[:-1], FIRST), DEAD)
        end, number = logits[..., self.end : self.end + 1], torch.arange(self.known, device=logits.device)
        words = torch.where(number == self.end, DEAD, logits[..., : self.known])
        return torch.cat([marks[..., :START], end, marks[..., START + 1 :], words], -1)
