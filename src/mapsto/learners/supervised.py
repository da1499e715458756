"""Supervised learning: rows with their answers, the head's loss, one update a step.

mixup: Zhang et al. 2018, arXiv:1710.09412. cutmix: Yun et al. 2019, arXiv:1905.04899.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mapsto.batch import Batch, Draw
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.learners.base import Learner, Logs, Scores
from mapsto.outputs.base import Head


class Supervised(Learner):
    """Learn outputs from inputs where both are known."""

    prefetch = True
    incremental = True
    weighs_lines = True

    @dataclass(frozen=True)
    class Config:
        """Options of supervised learning."""

        mixup: float = setting(
            0.0, "strength of mixing pairs of rows (Beta parameter; 0: never); pictures only", above=-1e-9
        )
        cutmix: float = setting(
            0.0, "share of batches in which patches are exchanged between pictures", above=-1e-9
        )
        views: bool = setting(
            True, "test-time augmentation: average the prediction over views of a row (a mirrored picture)"
        )

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        for number, batch in enumerate(super().batches(split, step), start=step):
            if self.config.mixup or self.config.cutmix:
                yield mixed(
                    batch,
                    Draw(self.training.seed, number, batch.size, self.device),
                    self.config.mixup,
                    self.config.cutmix,
                )
            else:
                yield batch

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        outputs = self.model(batch.inputs, size=batch.size)
        partner = batch.parts.get("partner")
        per_row, count = self._losses(outputs, batch)
        if partner is not None:
            assert partner.weight is not None  # the partner's share of each row
            other, other_count = self._losses(outputs, partner)
            share = partner.weight
            per_row, count = (1 - share) * per_row + share * other, (1 - share) * count + share * other_count
        return (per_row, count), {}

    @property
    def bag(self) -> Any:
        """The model (`mapsto.models._bag.Bag`), where linear models stand beside its nets; else None."""
        return self.model if getattr(self.model, "lines", None) is not None else None

    @property
    def looks_first(self) -> bool:  # type: ignore[override]
        """Lines are solved before the first step."""
        return self.bag is not None

    def held_out(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Of validation rows: what the nets say, and the lines beside them, {slot: (B, M, ...)}."""
        return self.bag.parts(batch.inputs)

    def evaluate(self, split: str, most: int | None = None) -> Scores:
        if split != "validation" or self.bag is None or not self.size(split):
            return super().evaluate(split, most)
        from mapsto.learners._lines import settled

        return settled(self, self.bag, self.iterate(split, most))

    def _losses(self, outputs: dict[str, Any], batch: Batch) -> tuple[Tensor, Tensor]:
        """One output: its head's sums and counts. Several: each row's mean per output, summed, so that none
        drowns another."""
        heads: Any = self.model.heads
        found = [
            head.loss(outputs[name], batch.targets[name], batch.present.get(name))
            for name, head in heads.items()
        ]
        if len(found) == 1:
            return found[0]
        per_row = torch.stack([rows / count.clamp(min=1) for rows, count in found]).sum(0)
        known = torch.stack([count > 0 for _, count in found]).any(0)
        return per_row, known.to(per_row.dtype)

    def outputs(self, batch: Batch) -> dict[str, Any]:
        """The raw outputs over test-time views, merged as each head says; one view where no type has more, or
        no head merges them."""
        heads: dict[str, Head] = dict(self.model.heads.items())  # type: ignore[union-attr, operator]
        if not self.config.views or all(type(head).merge is Head.merge for head in heads.values()):
            return super().outputs(batch)
        views = {
            slot.name: self.types["input", slot.name].views(batch.inputs[slot.name])
            for slot in self.signature.inputs
        }
        number = max((len(found) for found in views.values()), default=1)
        found = [
            self.model({name: values[i % len(values)] for name, values in views.items()}, size=batch.size)
            for i in range(number)
        ]
        if number == 1:
            return found[0]
        return {
            slot: heads[slot].merge([one[slot] for one in found], self._view_geometry(slot, number))
            for slot in found[0]
        }

    def _view_geometry(self, slot: str, number: int) -> Tensor | None:
        """(V, 2, 3): how the first `number` views move the places of the input that an output annotates."""
        source = self.types["output", slot].annotates(self.signature)
        moves = None if source is None else self.types["input", source].view_geometry
        return None if moves is None else moves[torch.arange(number) % len(moves)]


def mixed(batch: Batch, draw: Draw, mixup: float, cutmix: float) -> Batch:
    """A batch whose pictures are mixed with those of a random partner row; `parts["partner"]` holds the
    partner's targets, its `weight` (B,) the partner's share."""
    if any(not isinstance(value, Tensor) or value.ndim != 4 for value in batch.inputs.values()):
        raise ConfigError("mixup and cutmix mix pictures, but an input is none.\nLeave mixup and cutmix out.")
    of_parts = [name for name, value in batch.targets.items() if not isinstance(value, Tensor)]
    if of_parts or batch.geometry is not None:
        raise ConfigError(
            "mixup and cutmix mix answers that hold for a whole picture, but"
            f" '{next(iter(of_parts or batch.targets))}' speaks of its parts.\nLeave mixup and cutmix out."
        )
    order = draw.permutation("mix order").to(batch.rows.device if batch.rows is not None else "cpu")
    patches = bool(draw.uniform("cutmix or mixup", 1)[0, 0] < cutmix)
    inputs, share = {}, torch.zeros(batch.size)
    for name, value in batch.inputs.items():
        assert isinstance(value, Tensor)
        inputs[name], share = (_patched if patches else _blended)(
            value, value[order.to(value.device)], draw, mixup
        )
    targets = {name: value[order.to(value.device)] for name, value in batch.targets.items()}  # type: ignore[index, union-attr, call-overload]
    present = {name: value[order.to(value.device)] for name, value in batch.present.items()}
    partner = Batch({}, targets, batch.size, weight=share, present=present)
    return replace(batch, inputs=inputs, parts={**batch.parts, "partner": partner})


def _blended(a: Tensor, b: Tensor, draw: Draw, strength: float) -> tuple[Tensor, Tensor]:
    """(1 − λ) a + λ b, with min(λ, 1 − λ) of a Kumaraswamy(s, s) a row: a Beta(s, s) in all but name, and
    drawn from one uniform."""
    if not strength:
        return a, torch.zeros(len(a), device=a.device)
    u = draw.uniform("mix share", 1)[:, 0]
    share = (1 - (1 - u) ** (1 / strength)) ** (1 / strength)
    share = torch.minimum(share, 1 - share).to(a.device)
    return torch.lerp(a, b, share.to(a.dtype).view(-1, 1, 1, 1)), share


def _patched(a: Tensor, b: Tensor, draw: Draw, strength: float) -> tuple[Tensor, Tensor]:
    """A box of b, of an area uniform in [0, 1), pasted over a; the share is the box's true area."""
    height, width = a.shape[-2:]
    u = draw.uniform("cutmix box", 3).to(a.device)
    half = u[:, :1].sqrt() / 2  # (B, 1) of the side
    ys = (torch.arange(height, device=a.device) + 0.5) / height
    xs = (torch.arange(width, device=a.device) + 0.5) / width
    inside = ((ys - u[:, 1:2]).abs() < half)[:, :, None] & ((xs - u[:, 2:3]).abs() < half)[
        :, None, :
    ]  # (B, H, W)
    return torch.where(inside[:, None], b, a), inside.float().mean((1, 2))
