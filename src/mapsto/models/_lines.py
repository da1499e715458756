"""The linear models that stand beside nets (`mapsto.models._bag`): solved (`mapsto.steps.solve`), not
learned. All read the same plain features, which are made once.

Letters: B batch, F plain features, K columns of an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mapsto.batch import Field
from mapsto.models.base import Heads, Stems, Types, features_of_nothing
from mapsto.models.baseline import Body
from mapsto.signature import Signature

# features, above which those of texts, mostly 0, are kept sparse; then they are neither centred nor cut
WIDE = 1024


class Line(nn.Module):
    """Plain features (B, F), dense or sparse -> {slot: output}."""

    def __init__(self, body: Body, heads: Heads):
        super().__init__()
        self.body, self.heads = body, heads

    def forward(self, features: Tensor) -> dict[str, Any]:
        if not features.is_sparse:
            return self.heads(self.body({"": features}))
        at = features.indices()
        scaled = features.values() * self.body.scale[at[1]]
        known: dict[str, Any] = {"check_invariants": False, "is_coalesced": True}
        return self.heads(torch.sparse_coo_tensor(at, scaled, features.shape, **known))


class Lines(nn.Module):
    """So many linear models of the same inputs."""

    solved = True  # its weights are not learned

    def __init__(self, count: int, signature: Signature, types: Types, kinds: Mapping[str, str]):
        super().__init__()
        self.names = tuple(slot.name for slot in signature.inputs)
        self.types = tuple(types["input", name] for name in self.names)
        self.stems = nn.ModuleList(one.stem(None) for one in self.types)
        found = features_of_nothing(Stems(signature, types, None), signature, types)
        self.width = sum(features.flatten(1).shape[1] for features in found.values())
        self.of = nn.ModuleList(
            Line(Body(self.width), Heads(signature, types, kinds, self.width, "pooled")) for _ in range(count)
        )
        for value in self.of.parameters():
            nn.init.zeros_(value)

    def features(self, inputs: Mapping[str, Field]) -> Tensor:
        """(B, F), every input's side by side; sparse where most are 0."""
        asked = [
            (one, stem, inputs[name])
            for name, one, stem in zip(self.names, self.types, self.stems, strict=True)
        ]
        wide = self.width > WIDE and not torch.compiler.is_exporting()
        sparse = [one.plain_tensor(stem, values) if wide else None for one, stem, values in asked]
        if all(part is None for part in sparse):
            return torch.cat([stem(values).flatten(1).float() for _, stem, values in asked], 1)
        parts = [
            stem(values).flatten(1).to_sparse() if part is None else part
            for part, (_, stem, values) in zip(sparse, asked, strict=True)
        ]
        return torch.cat(parts, 1).coalesce()

    @torch.no_grad()
    def forward(self, inputs: Mapping[str, Field], only: int | None = None) -> list[dict[str, Any]]:
        """What each says, or one of them: {slot: output}."""
        chosen = self.of if only is None else [self.of[only]]
        device = next(self.of.parameters()).device
        with torch.autocast(device.type, enabled=False):
            features = self.features(inputs)
            return [line(features) for line in chosen]
