"""Recurrent layers over sequences of unequal length. Letters: B batch, T tokens, W and D width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def read(cells: nn.LSTM | nn.GRU, values: Tensor, lengths: Tensor) -> Tensor:
    """values (B, T, W), of which `lengths` (B,) are there, one at least -> (B, T, D); 0 behind each end."""
    return read_and_last(cells, values, lengths)[0]


def read_and_last(cells: nn.LSTM | nn.GRU, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """`read`, and what stood last in each layer and direction, (L · 1 or 2, B, D of one)."""
    if torch.compiler.is_exporting():
        return _unpacked(cells, values, lengths)
    packed = pack_padded_sequence(values, lengths.cpu(), batch_first=True, enforce_sorted=False)
    found, last = cells(packed)
    return pad_packed_sequence(found, batch_first=True, total_length=values.shape[1])[0], (
        last[0] if isinstance(last, tuple) else last
    )


def step(cells: nn.LSTM, values: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One token (N, 1, W) by operations that an exported net has, with hidden and cell (L, N, D) ->
    (N, 1, D), and these as they are then."""
    x, kept = values[:, 0], list[tuple[Tensor, Tensor]]()
    for layer, (into, own, *bias) in enumerate(cells.all_weights):
        sums = F.linear(x, into, *bias[:1]) + F.linear(hidden[layer], own, *bias[1:])
        enter, forget, new, leave = sums.chunk(4, -1)
        state = forget.sigmoid() * cell[layer] + enter.sigmoid() * new.tanh()
        x = leave.sigmoid() * state.tanh()
        kept.append((x, state))
    hidden, cell = (torch.stack(part) for part in zip(*kept, strict=True))
    return x[:, None], hidden, cell


def _unpacked(cells: nn.LSTM | nn.GRU, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The same of operations that an exported net has: the way back reads each row turned around within its
    own length."""
    place = torch.arange(values.shape[1], device=values.device)
    mask = place < lengths[:, None]  # (B, T)
    turned = torch.where(mask, lengths[:, None] - 1 - place, place)
    ways, last = 1 + cells.bidirectional, list[Tensor]()
    end = (lengths[:, None] - 1).clamp(min=0)
    for layer in range(cells.num_layers):
        weights = [cells.all_weights[layer * ways + way] for way in range(ways)]
        sides = [_one_way(cells, values, weights[0])]
        last.append(_picked(sides[0], end)[:, 0])
        if cells.bidirectional:
            back = _one_way(cells, _picked(values, turned), weights[1])
            last.append(_picked(back, end)[:, 0])
            sides.append(_picked(back, turned))
        values = torch.cat(sides, -1) * mask[..., None]
    return values, torch.stack(last)


def _one_way(cells: nn.LSTM | nn.GRU, values: Tensor, weights: Sequence[Tensor]) -> Tensor:
    start = values.new_zeros(1, values.shape[0], cells.hidden_size)
    lstm = isinstance(cells, nn.LSTM)
    begin: Any = (start, start) if lstm else start
    run: Any = torch.lstm if lstm else torch.gru
    found = run(values, begin, list(weights), cells.bias, 1, 0.0, False, False, True)[0]
    # which torch takes to be as long as in the example: picked by number the length is open again
    return found.index_select(1, torch.arange(values.shape[1], device=values.device))


def _picked(values: Tensor, place: Tensor) -> Tensor:
    return values.gather(1, place[..., None].expand(-1, -1, values.shape[2]))
