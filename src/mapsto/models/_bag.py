"""Several nets of one kind side by side, with no weight in common, so that each can learn without some of
the rows (`mapsto.learners.bagged`) and together they answer better than one; beside each may stand a linear
model.

Letters: B batch, N nets, M members of a net, D width, K columns of an answer, F plain features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mapsto.batch import Field
from mapsto.errors import ConfigError
from mapsto.models._lines import Lines
from mapsto.models.base import Heads, Net, Stems, Types, pool
from mapsto.outputs.base import Head
from mapsto.signature import Signature


class Trunk(nn.Module):
    """A net without its heads: {slot: values} -> members (B, M, D) of a row as a whole; one where it has
    none."""

    def __init__(self, net: Net):
        super().__init__()
        self.stems, self.body, self.gives = net.stems, net.body, net.heads.gives

    def forward(self, inputs: Mapping[str, Field]) -> Tensor:
        hidden = pool(self.body(self.stems(inputs)), self.gives)
        return hidden if hidden.ndim == 3 else hidden[:, None]


class BagHeads(nn.Module):
    """Every net's own heads: (B, N M, D) -> {slot: (B, N M, ...)}."""

    gives = "pooled"

    def __init__(self, nets: Sequence[Net]):
        super().__init__()
        self.of = nn.ModuleList(net.heads for net in nets)
        for net in nets:
            net.heads.gives = self.gives  # trunks pool

    def items(self) -> list[tuple[str, Head]]:
        """Those of the first net: all decode alike."""
        first: Heads = self.of[0]  # type: ignore[assignment]
        return first.items()

    def forward(self, hidden: Tensor) -> dict[str, Tensor]:
        parts = hidden.chunk(len(self.of), 1)
        found = [heads(part) for heads, part in zip(self.of, parts, strict=True)]
        return {name: torch.cat([one[name] for one in found], 1) for name in found[0]}


class Bag(Net):
    """lines: linear models, one a net. What is said is the mean of nets and lines, the latter weighing
    `share`, of each output."""

    share: Tensor
    mixes = False  # do lines count in an answer?

    def __init__(self, nets: Sequence[Net], lines: Lines | None = None):
        nn.Module.__init__(self)
        self.trunks = nn.ModuleList(Trunk(net) for net in nets)
        self.heads = BagHeads(nets)
        self.lines = None if lines is None else lines.requires_grad_(False)
        self.register_buffer("share", torch.zeros(len(self.heads.items())))

    @property
    def stems(self) -> Stems:  # type: ignore[override]
        return self.trunks[0].stems  # type: ignore[return-value]

    def hidden(self, inputs: Mapping[str, Field]) -> Tensor:
        return torch.cat([trunk(inputs) for trunk in self.trunks], 1)

    def forward(
        self, inputs: Mapping[str, Field], condition: Any = None, size: int | None = None
    ) -> dict[str, Any]:
        if not torch.compiler.is_exporting():  # which asks for no values: what the last pass found holds
            self.mixes = not self.training and self.lines is not None and bool(self.share.any())
        if not self.mixes:
            return self.heads(self.hidden(inputs))
        return self.mixed(*self.parts(inputs))

    def parts(self, inputs: Mapping[str, Field]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What all nets say, and their lines: {slot: (B, N M, ...)} each."""
        found = self.heads(self.hidden(inputs))
        assert self.lines is not None
        lines = self.lines(inputs)
        members = next(iter(found.values())).shape[1] // len(lines)
        beside = {
            name: torch.stack([one[name] for one in lines], 1).repeat_interleave(members, 1) for name in found
        }
        return found, beside

    def looked_at(self, hidden: Tensor) -> Tensor:
        """Of a hidden representation the first net's part: some rows that are known are new to that net."""
        return hidden[:, : hidden.shape[1] // len(self.trunks)]

    def net(self, number: int, inputs: Mapping[str, Field]) -> dict[str, Tensor]:
        """{slot: (B, M, ...)} of one net."""
        return self.heads.of[number](self.trunks[number](inputs))

    def line(self, number: int, inputs: Mapping[str, Field]) -> dict[str, Tensor]:
        """{slot: (B, ...)} of one net's line."""
        assert self.lines is not None
        return self.lines(inputs, only=number)[0]

    def mixed(self, nets: Mapping[str, Tensor], lines: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Both (B, M, ...), as one answer."""
        return {
            name: (1 - share) * own + share * lines[name]
            for (name, own), share in zip(nets.items(), self.share, strict=True)
        }


def bagged(
    nets: Sequence[Net],
    lines: bool,
    signature: Signature,
    types: Types,
    kinds: Mapping[str, str],
) -> Net:
    """A bag of nets. ConfigError where they say something of parts of a row."""
    if not all(isinstance(net, Net) and _speak_of_rows(net) for net in nets):
        raise ConfigError(
            "nets and line: this model's answers are not of a row as a whole.\nLeave nets and line out."
        )
    return Bag(nets, Lines(len(nets), signature, types, kinds) if lines else None)


def _speak_of_rows(net: Net) -> bool:
    return all(head.expects == "pooled" for _, head in net.heads.items())
