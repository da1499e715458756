"""What nets that answer keep between two tokens, from tensors and as such (`models._graph_state`). Letters as
there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mapsto.batch import Padded
from mapsto.models._copying import Source


class Growing:
    """`models.seq2seq.State` of the tensors ATTENDED, and COPIED where it has a pointer."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        crossed, written = tensors["crossed"], tensors["written"]
        self.memory = Padded(crossed[0, :, 0], tensors["lengths"])
        self.crossed = [(crossed[2 * i], crossed[2 * i + 1]) for i in range(crossed.shape[0] // 2)]
        self.source = source_of(tensors)
        self.length, self.shape = written.shape[0], written.shape[2:4]
        self.before, self.added = written.flatten(2, 3), list[Tensor]()  # (T, 2 L, B · K, N, H)

    def extended(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B · K, N, 1, H) of a new token -> those of all tokens up to it."""
        new = key[:, :, 0], value[:, :, 0]
        self.added += new
        keys, values = (
            torch.cat([self.before[:, 2 * layer + i], one[None]]).permute(1, 2, 0, 3)
            for i, one in enumerate(new)
        )
        return keys, values

    @property
    def written(self) -> Tensor:
        """(T + 1, 2 L, B, K, N, H), the new token's among them."""
        return torch.cat([self.before, torch.stack(self.added)[None]]).unflatten(2, self.shape)


def source_of(tensors: Mapping[str, Tensor]) -> Source | None:
    if "keys" not in tensors:
        return None
    runs = tensors["runs"].flatten(0, 1)
    return Source(tensors["keys"], tensors["numbers"], tensors["there"], runs)


def copied_tensors(source: Source | None) -> dict[str, Tensor]:
    """What may be copied, of K answers a row; before the first token of one."""
    if source is None:
        return {}
    rows = source.keys.shape[0]
    runs = torch.zeros_like(source.tokens) if source.runs is None else source.runs
    return {
        "keys": source.keys,
        "numbers": source.tokens,
        "there": source.there,
        "runs": runs.unflatten(0, (rows, -1)),
    }
