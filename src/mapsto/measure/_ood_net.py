"""How far rows lie from the training rows (`mapsto.measure.ood`), of operations that an exported net has.

Letters: B rows, D and F features, R axes, m training rows, S inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mapsto.batch import Field
from mapsto.measure.ood import FLOOR, WIDEST, FeatureHook, Novelty, ReferenceSet, _hashing
from mapsto.models.base import Net, pool

MOST_FLOAT16 = 6e4  # of what is kept of a hidden representation


class Distances(nn.Module):
    """Rows (B, D) of one space -> (B,) to the nearest training row, (B,) to the space they span."""

    centre: Tensor
    axes: Tensor
    points: Tensor
    left: Tensor

    def __init__(self, known: ReferenceSet):
        super().__init__()
        self.unit = known.unit
        for name in ("centre", "axes", "points", "left"):
            kept = torch.from_numpy(getattr(known, name))
            self.register_buffer(name, kept if name == "centre" else kept.half())  # as its file has them

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        centre, axes, points, beside = (
            part.double() for part in (self.centre, self.axes, self.points, self.left)
        )
        moved = torch.nan_to_num((rows.double() - centre) / self.unit, 1e4, 1e4, -1e4).clamp(-1e4, 1e4)
        on = moved @ axes  # (B, R)
        left = (moved.square().sum(1) - on.square().sum(1)).clamp(min=0).sqrt()
        known = points.square().sum(1) + beside.square()  # (m,)
        to_each = on.square().sum(1)[:, None] + left[:, None].square() + known - 2 * on @ points.T
        return to_each.min(1).values.clamp(min=0).sqrt() + FLOOR, left + FLOOR


class NoveltyNet(nn.Module):
    """What the net's heads are given, and its inputs -> (B,) how far each row lies from the training rows."""

    def __init__(self, model: Net, looking: FeatureHook, novelty: Novelty):
        super().__init__()
        self.looked_at, self.gives = model.looked_at, model.heads.gives
        self.names = tuple(looking.plain.stems)
        self.types = [column_type for column_type, _ in looking.plain.stems.values()]
        self.stems = nn.ModuleList(stem for _, stem in looking.plain.stems.values())
        self.net, self.plain = Distances(novelty.net), Distances(novelty.plain)
        self.limits = novelty.limits
        self.threshold = novelty.threshold

    def forward(self, hidden: Tensor, inputs: Mapping[str, Field]) -> Tensor:
        seen = pool(self.looked_at(hidden), self.gives).float()
        seen = (seen.mean(1) if seen.ndim == 3 else seen).clamp(-MOST_FLOAT16, MOST_FLOAT16).half().float()
        seen = seen / seen.norm(dim=1, keepdim=True).clamp(min=1e-9)
        plain = [
            stem(inputs[name]).flatten(1).float() for name, stem in zip(self.names, self.stems, strict=True)
        ]
        told = [
            column_type.range_violation(inputs[name])
            for name, column_type in zip(self.names, self.types, strict=True)
        ]
        figures = [self.net(_narrow(seen))[0], *self.plain(_narrow(torch.cat(plain, 1)))]
        figures += [one.double() for one in told if one is not None]
        limits = torch.tensor(self.limits, dtype=torch.float64, device=figures[0].device)
        return (torch.stack(figures, 1) / limits).max(1).values / self.threshold


def _narrow(values: Tensor) -> Tensor:
    """(B, F) -> (B, at most WIDEST), as `mapsto.measure.ood` hashes wider rows."""
    if values.shape[1] <= WIDEST:
        return values
    hashed = _hashing(values.shape[1])
    bucket, sign = (torch.from_numpy(part) for part in hashed)
    found = torch.zeros(values.shape[0], int(hashed[0].max()) + 1, device=values.device)
    return found.scatter_add(1, bucket.expand(values.shape[0], -1), values * sign)
