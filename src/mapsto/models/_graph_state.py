"""What nets that write keep between two tokens, as tensors of an exported net: keys and values grow by one
token a call, and whoever asks hands them back. Letters: B rows, K answers of a row, T tokens written, S
tokens read, P places that may be copied, S + 1, L blocks, N heads, H width of a head, D width.

A tensor's sides are told in a line, a letter each: B, K, T, S and P may change, K stands behind B, and what
has a K is another one after each token; the others are as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHANGING = "BKTSP"
ATTENDED = {"crossed": "L B N S H", "lengths": "B", "written": "T L B K N H"}
RECURRENT = {"memory": "B S D", "lengths": "B", "hidden": "L B K D", "cell": "L B K D"}
COPIED = {"keys": "B P D", "numbers": "B P", "there": "B P", "runs": "B K P"}
CACHED = {"kept": "L E B N T H"}  # E: keys, values


def places(table: Tensor, start: Any, end: Any) -> Tensor:
    """Rows start … end of a table of positions; picked by number the length of a graph stays open, also of an
    example that is longer than any cell."""
    if not torch.compiler.is_exporting() and end <= table.shape[0]:
        return table[start:end]
    return table[(start + torch.arange(end - start)).clamp(max=table.shape[0] - 1)]


class GrownCache:
    """`models.gpt.Cache` of the tensor CACHED."""

    def __init__(self, kept: Tensor):
        self.before, self.length, self.added = kept, kept.shape[4], list[Tensor]()

    def extended(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        self.added += [key, value]
        keys, values = (torch.cat([self.before[layer, i], one], 2) for i, one in enumerate((key, value)))
        return keys, values

    def seen(self, time: Any) -> Tensor:
        """(T, S) bool: new tokens look at all before them."""
        new = torch.arange(time)
        return torch.arange(self.length + time) <= (self.length + new)[:, None]

    @property
    def kept(self) -> Tensor:
        new = torch.stack(self.added).unflatten(0, (-1, 2))
        return torch.cat([self.before, new], 4)
