"""What nets are given of pictures: the pixels themselves, or few of them.

Letters: B batch, C channels, H W image, F features."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d


class Pixels(nn.Module):
    """(B, C, H, W) as they are: models bring their own first layer."""

    gives = "map"

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.channels, self.size = channels, size

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels


class SmallPixels(nn.Module):
    """(B, C, H, W) -> (B, F), F = C · min(H, 16)²: enough for a linear model to be a fair baseline."""

    gives = "pooled"

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.side = min(size, 16)
        self.features = channels * self.side**2

    def forward(self, pixels: Tensor) -> Tensor:
        return adaptive_avg_pool2d(pixels, self.side).flatten(1)
