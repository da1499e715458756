"""What nets are given of categories: a vector a class, or a column each.

Letters: B batch, N slots, F features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, one_hot

from mapsto.types._kinds import FIRST, MISSING, OTHER


class Embeddings(nn.Module):
    """{slot: (B,) codes} -> {slot: (B, 1, width)}: a table a slot, so that each can grow, looked up in one
    stroke."""

    offsets: Tensor

    def __init__(self, column_types: Mapping[str, Any], width: int):
        super().__init__()
        self.names = tuple(column_types)
        sizes = [FIRST + len(column_type.vocabulary) for column_type in column_types.values()]
        self.tables = nn.ParameterList(nn.Parameter(torch.randn(size, width)) for size in sizes)
        with torch.no_grad():
            for table in self.tables:
                table[OTHER] = 0.0  # nothing is known of it yet
        self.register_buffer("offsets", torch.tensor([0, *sizes[:-1]]).cumsum(0), persistent=False)
        self.gives = dict.fromkeys(self.names, "tokens")

    def forward(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        codes = torch.stack([values[name] for name in self.names], 1) + self.offsets  # (B, N)
        table = torch.cat(list(self.tables)) if len(self.tables) > 1 else self.tables[0]
        tokens = embedding(codes, table)  # (B, N, width)
        return {name: tokens[:, n : n + 1] for n, name in enumerate(self.names)}


class OneCategory(nn.Module):
    """`Embeddings` of a single slot: (B,) -> (B, 1, width)."""

    gives = "tokens"

    def __init__(self, column_type: Any, width: int):
        super().__init__()
        self.inner = Embeddings({"": column_type}, width)

    def forward(self, codes: Tensor) -> Tensor:
        return self.inner({"": codes})[""]


class OneHot(nn.Module):
    """(B,) codes -> (B, F): a column each for missing, other and the 100 most frequent classes; rarer ones
    count as other."""

    gives = "pooled"
    columns: Tensor

    def __init__(self, column_type: Any):
        super().__init__()
        columns = torch.full((FIRST + len(column_type.vocabulary),), OTHER)
        columns[MISSING] = MISSING
        columns[list(column_type.frequent)] = torch.arange(len(column_type.frequent)) + FIRST
        self.register_buffer("columns", columns, persistent=False)
        self.features = FIRST + len(column_type.frequent)

    def forward(self, codes: Tensor) -> Tensor:
        return one_hot(self.columns[codes], self.features).float()
