"""The head of a tag for each word (`mapsto.outputs.tags`): a linear-chain conditional random field.

Letters: B rows of a batch, T words, K tags, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from mapsto.batch import Padded
from mapsto.outputs._head import Head
from mapsto.types._name_marks import OUTSIDE

if TYPE_CHECKING:
    from mapsto.outputs.base import Output
    from mapsto.prediction import Prediction

FORBIDDEN = -1e4


class Crf(Head):
    """A linear-chain conditional random field: tokens (B, T, D) -> scores (B, T, K) of each word's tags, and
    of each pair of neighbours. What learns sees every sequence of tags; what answers only those that are
    well-formed."""

    expects = "tokens"
    illegal: Tensor
    first_illegal: Tensor

    def __init__(self, output: Output, width: int):
        super().__init__()
        self.output, column_type = output, output.type
        self.tags, self.recall = (
            column_type.vocabulary,
            column_type.recall or 0.0 if column_type.names else 0.0,
        )
        self.linear = nn.Linear(width, len(self.tags))
        self.follows = nn.Parameter(torch.zeros(len(self.tags), len(self.tags)))  # from, to
        self.first = nn.Parameter(torch.zeros(len(self.tags)))
        goes_on = [tag[2:] if column_type.names and tag.startswith("I-") else None for tag in self.tags]
        of = [tag[2:] if column_type.names and tag != OUTSIDE else None for tag in self.tags]
        wrong = torch.tensor([[kind is not None and kind != before for kind in goes_on] for before in of])
        self.register_buffer("illegal", FORBIDDEN * wrong.float(), persistent=False)
        self.register_buffer(
            "first_illegal",
            FORBIDDEN * torch.tensor([kind is not None for kind in goes_on]).float(),
            persistent=False,
        )
        with torch.no_grad():  # start at the tags' frequencies
            prior = torch.log(torch.tensor(column_type.counts, dtype=torch.float32) + 1)
            self.linear.bias.copy_(prior - prior.mean())

    def forward(self, hidden: Padded | Tensor) -> Padded | Tensor:
        return (
            Padded(self.linear(hidden.values), hidden.lengths)
            if isinstance(hidden, Padded)
            else self.linear(hidden)
        )

    def loss(self, output: Any, target: Any, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Nats of each row's whole sequence of tags, and its words."""
        output, target = _whole(output), _whole(target)
        length = min(output.values.shape[1], target.values.shape[1])
        scores, tags = output.values[:, :length].float(), target.values[:, :length]
        lengths = torch.minimum(output.lengths, target.lengths).clamp(max=length)
        lengths = lengths if present is None else lengths * present.to(lengths.dtype)
        mask = torch.arange(length, device=scores.device) < lengths[:, None]
        of_tags = (scores.gather(2, tags[..., None])[..., 0] * mask).sum(1) + self.first[tags[:, 0]] * mask[
            :, 0
        ]
        of_tags = of_tags + (self.follows[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]).sum(1)
        whole = _forward(scores, self.first, self.follows, mask)[:, -1].logsumexp(-1)
        return torch.where(lengths > 0, whole - of_tags, 0.0), lengths.float()

    def predict(self, output: Any, options: Any = None) -> dict[str, Any]:
        """The likeliest well-formed tags (B, T), and how likely each tag of each word is (B, T, K)."""
        plain, output = isinstance(output, Tensor), _whole(output)
        scores, mask = output.values.float(), output.mask
        ahead = _forward(scores, self.first, self.follows, mask)
        lengths = output.lengths
        turned = torch.where(
            mask, lengths[:, None] - 1 - torch.arange(mask.shape[1], device=mask.device), 0
        )  # (B, T): the words from the last on
        turned = turned[..., None].expand(-1, -1, scores.shape[2])
        back = _forward(
            scores.gather(1, turned),
            torch.zeros_like(self.first),
            self.follows.T,
            mask,
        )
        both = ahead + back.gather(1, turned) - scores
        if (
            self.recall
        ):  # what is best for the whole of a name's words is timid: few training names are like those to come
            scores = torch.cat([scores[..., :1] - self.recall, scores[..., 1:]], -1)
        best = _viterbi(scores, self.first + self.first_illegal, self.follows + self.illegal, mask)
        found = {"value": best, "probability": both.softmax(-1)}
        return found if plain else {name: Padded(value, lengths) for name, value in found.items()}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        return self.output.decode(predicted)


def _whole(values: Any) -> Padded:
    """As Padded: plain tensors are of full length."""
    return (
        values
        if isinstance(values, Padded)
        else Padded(values, torch.full(values.shape[:1], values.shape[1], device=values.device))
    )


def _forward(scores: Tensor, first: Tensor, follows: Tensor, mask: Tensor) -> Tensor:
    """(B, T, K): the logarithm of the sum over all beginnings that end in each tag; behind the end of a row
    its last word's."""
    if torch.compiler.is_exporting():
        return _forward_scanned(scores, first, follows, mask)
    sums = [scores[:, 0] + first]
    for t in range(1, scores.shape[1]):
        step = (sums[-1][:, :, None] + follows).logsumexp(1) + scores[:, t]
        sums.append(torch.where(mask[:, t, None], step, sums[-1]))
    return torch.stack(sums, 1)


def _viterbi(scores: Tensor, first: Tensor, follows: Tensor, mask: Tensor) -> Tensor:
    """(B, T) the best sequence of tags (Viterbi 1967); 0 behind the end of a row."""
    if torch.compiler.is_exporting():
        return _viterbi_scanned(scores, first, follows, mask)
    best, came = scores[:, 0] + first, []
    for t in range(1, scores.shape[1]):
        value, before = (best[:, :, None] + follows).max(1)
        stay = torch.arange(scores.shape[2], device=scores.device).expand_as(before)
        came.append(torch.where(mask[:, t, None], before, stay))
        best = torch.where(mask[:, t, None], value + scores[:, t], best)
    tags = [best.argmax(1)]
    for before in reversed(came):
        tags.append(before.gather(1, tags[-1][:, None])[:, 0])
    return torch.stack(tags[::-1], 1) * mask


def _forward_scanned(scores: Tensor, first: Tensor, follows: Tensor, mask: Tensor) -> Tensor:
    """`_forward` as one operation, for exported nets: how many words there are is then open."""

    def step(sums: Tensor, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        score, there = given
        longer = (sums[:, :, None] + follows).logsumexp(1) + score
        sums = torch.where(there[:, None], longer, sums)
        return sums, sums.clone()

    begin = scores[:, 0] + first
    found = scan(step, begin, (scores[:, 1:].transpose(0, 1), mask[:, 1:].transpose(0, 1)))[1]
    return torch.cat([begin[:, None], found.transpose(0, 1)], 1)


def _viterbi_scanned(scores: Tensor, first: Tensor, follows: Tensor, mask: Tensor) -> Tensor:
    """`_viterbi` likewise."""

    def step(best: Tensor, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        score, there = given
        value, before = (best[:, :, None] + follows).max(1)
        best = torch.where(there[:, None], value + score, best)
        return best, torch.where(there[:, None], before, stay)

    stay = torch.arange(scores.shape[2], device=scores.device)

    def back(tag: Tensor, given: tuple[Tensor]) -> tuple[Tensor, Tensor]:
        (before,) = given
        tag = before.gather(1, tag[:, None])[:, 0]
        return tag, tag.clone()

    begin = scores[:, 0] + first
    best, came = scan(step, begin, (scores[:, 1:].transpose(0, 1), mask[:, 1:].transpose(0, 1)))
    last = best.argmax(1)
    tags = scan(back, last, (came.flip(0),))[1]
    return torch.cat([tags.flip(0).transpose(0, 1), last[:, None]], 1) * mask
