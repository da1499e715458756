"""Numbers and dates as nets are given them. Letters: B batch, N columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def features(arrays: Tensor, waves: Tensor | None, mean: float, std: float, log: bool) -> Tensor:
    """(B,) float64, nan where missing -> (B, 2): standardised value, missing flag; behind them `waves`
    (B, F), where in the calendar a date lies, 0 where it is missing."""
    missing = torch.isnan(arrays)
    known = torch.where(missing, mean, arrays) if not log else torch.nan_to_num(arrays)
    if log:
        known = torch.sign(known) * torch.log1p(known.abs())
    standard = torch.where(missing, 0.0, (known - mean) / std)
    columns = [standard[:, None], missing[:, None]]
    if waves is not None:
        columns.append(waves * ~missing[:, None])
    return torch.cat([column.float() for column in columns], 1)


def together(raw: Tensor, means: Sequence[float], stds: Sequence[float]) -> Tensor:
    """(B, N) float64 columns -> (B, N, 2), as `features` has each."""
    mean, std = (torch.tensor(part, dtype=raw.dtype, device=raw.device) for part in (means, stds))
    missing = torch.isnan(raw)
    return torch.stack([torch.where(missing, 0.0, (raw - mean) / std).float(), missing.float()], 2)
