"""Layers that several architectures are made of: attention and dropout, each in the way that is quickest
where it runs, and batch norm that stands one row.

Scaled dot-product attention (Vaswani et al. 2017), by PyTorch's kernel or by hand, whichever is quicker where
it runs.

On processors the backward pass of PyTorch's kernel takes 3 to 8 times as long in bfloat16 as three plain
products: at (12, 4, 64, 32) forward and backward take 7.4 ms against 1.6, at (8, 6, 256, 64) 46 against 22
(one thread; PyTorch 2.13). The plain products keep B · N · T² weights, so above LONG tokens the kernel stays.
Letters: B batch, N heads, K heads of keys, T tokens that look, S tokens looked at, H width of a head.

Dropout (Srivastava et al. 2014) whose masks are cut from random bits: PyTorch draws one number for each place
on a processor, which was a quarter of a small net's step; here one number serves eight places, at a quarter
of the time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LONG = 384  # tokens


def attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None = None, causal: bool = False) -> Tensor:
    """q (B, N, T, H), k and v (B, K, S, H), N a multiple of K -> (B, N, T, H). seen: bool, of a shape that
    widens to (B, N, T, S): what may be looked at. causal: each token looks at itself and those before it; T =
    S."""
    if torch.compiler.is_exporting() and k.shape[1] < q.shape[1]:  # which graphs have no operation for
        k, v = (value.repeat_interleave(q.shape[1] // k.shape[1], 1) for value in (k, v))
    by_hand = q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad and k.shape[2] <= LONG
    if not by_hand:
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=seen, is_causal=causal, enable_gqa=k.shape[1] < q.shape[1]
        )
    if k.shape[1] < q.shape[1]:
        k, v = (value.repeat_interleave(q.shape[1] // k.shape[1], 1) for value in (k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.mT  # (B, N, T, S)
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if seen is not None:  # added rather than filled in: an addition costs nothing backward
        scores = scores + torch.zeros(seen.shape, dtype=q.dtype).masked_fill_(~seen, float("-inf"))
    return scores.softmax(-1) @ v


LEVELS = 256  # a share is rounded to so many-th parts: .1 is 26 of 256


class Dropout(nn.Module):
    """x with a share of its values 0 while training, the others scaled up so that the mean stays. Of any
    shape. together: members (B, M, D) lose the same values: as good as a mask each, and M times cheaper to
    draw."""

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


class BatchNorm(nn.BatchNorm2d):
    """Batch norm for (B, C) or (B, C, H, W). One value a channel (one row, one pixel) has no variance: it
    takes the running one."""

    def _check_input_dim(self, input: Tensor) -> None:
        assert input.ndim in (2, 4)

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)
