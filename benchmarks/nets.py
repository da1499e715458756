"""The nets that all torch contenders share: mapsto's own, lifted out of it as plain modules, so that
everybody has the same first weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mapsto.types.text.stems import Texts


class Lifted(nn.Module):
    """Tensors in, the only output's logits out.

    pictures (B, C, H, W); texts tokens (B, T), lengths (B,); cells numbers (B, n, 2), codes (B, m), either
    may have no columns; windows tokens (B, T) -> (B, T, V)."""

    def __init__(self, net: nn.Module, kind: str, numbers: list[str], codes: list[str], slot: str):
        super().__init__()
        self.net, self.kind, self.numbers, self.codes, self.slot = net, kind, numbers, codes, slot

    def forward(self, *inputs: Tensor) -> Tensor:
        (output,) = (
            self.net({}, given=inputs[0]) if self.kind == "windows" else self.net(self._named(inputs))
        ).values()
        return output

    def _named(self, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        if self.kind == "pictures":
            return {self.slot: inputs[0]}
        if self.kind == "texts":
            return {self.slot: Texts(inputs[0], inputs[1], None)}
        numbers, codes = inputs
        return {name: numbers[:, i] for i, name in enumerate(self.numbers)} | {
            name: codes[:, i] for i, name in enumerate(self.codes)
        }
