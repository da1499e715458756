"""What stands before a net for types that have nothing of their own there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mapsto.batch import Field


class Preprocess(nn.Module):
    """A type's `collate` where nothing is drawn, as a module: encoded cells (B, *shape) -> values."""

    def __init__(self, column_type: Any):
        super().__init__()
        self.column_type = column_type

    def forward(self, arrays: Tensor) -> Field:
        return self.column_type.collate(arrays, None)


class EachStem(nn.Module):
    """The default of `stems`: each slot its own stem."""

    def __init__(self, stems: dict[str, nn.Module]):
        super().__init__()
        self.names = tuple(stems)  # a ModuleDict refuses names with dots
        self.list = nn.ModuleList(stems.values())
        self.gives = {name: stem.gives for name, stem in stems.items()}

    def forward(self, values: Mapping[str, Field]) -> dict[str, Any]:
        return {name: stem(values[name]) for name, stem in zip(self.names, self.list, strict=True)}
