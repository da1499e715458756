"""What a net ends in: the part of a kind of answer that is learned (`mapsto.outputs.base`).

Letters: B rows of a batch, T tokens, H W image, D width, M members of an ensemble, V views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.errors import ConfigError

if TYPE_CHECKING:
    from mapsto.prediction import Prediction


class Head(nn.Module):
    """Project, score and decode stay together.

    expects: "pooled" (B, D), "tokens" (B, T, D), "map" (B, D, H, W) or "maps" (several scales); checked
    against the model's `gives` when it is built. A pooled hidden may carry members, (B, M, D): an ensemble
    inside one net. The loss is then the mean of the members' losses, the prediction the mean of their
    predictions (of classes: of their log-probabilities).

    writes: "next" where each output says what token follows in a text without end, "answer" where it says
    that of a text with an end, given the tokens before; "" where no net need hand the answer's own tokens
    over.
    """

    expects: str = "pooled"
    writes: str = ""

    def forward(self, hidden: Any) -> Any:
        """hidden -> output, the raw scores."""
        raise TypeError(f"{type(self).__name__} has no forward")

    def loss(self, output: Any, target: Any, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """-> (per_row (B,), count (B,)): sums, and what they are sums over (labels, tokens, boxes). No label:
        0 and 0."""
        raise TypeError(f"{type(self).__name__} has no loss")

    def target_stats(self, output: Any, target: Any, present: Tensor | None = None) -> dict[str, Tensor]:
        """Named tensors (B, ...) that metrics read beside `predict`'s and that only the truth tells, such as
        how likely it was."""
        return {}

    def decoding(self, how: Mapping[str, Any], language: Any = None) -> Any:
        """How answers are searched for, checked, as `predict` takes it: options by which nothing was learned;
        language: (net, type) of a run that learned `-> text`. ConfigError where nothing is searched for."""
        raise ConfigError(
            f"this run's answers are not searched for, so {', '.join(how) or 'a language model'} would change"
            " nothing.\nLeave it out."
        )

    def merge(self, outputs: Sequence[Any], views: Tensor | None) -> Any:
        """Outputs of a row's test-time views as one, the plain view's first. views (V, 2, 3): how each moved
        the places that this output speaks of; None where it speaks of none. Here the plain view's alone, for
        boxes of a mirrored picture must not be averaged with those of the plain one: a head that does not
        say how its views go together has none."""
        return outputs[0]

    def predict(self, output: Any, options: Any = None) -> dict[str, Any]:
        """output -> named tensors (B, ...) that metrics read, in the data's terms: {"value": …,
        "probability": …}. options: what `decoding` gave, None for the usual."""
        raise TypeError(f"{type(self).__name__} does not predict")

    def predict_graph(self, output: Any) -> dict[str, Any]:
        """What an exported net tells of its output; `Output.from_graph` goes on with it. Here all of it."""
        return self.predict(output)

    def take_line(self, weight: Tensor, bias: Tensor) -> None:
        """The weights (D, K) and (K,) of a linear model of the answer, as `measure.solved` finds them.
        ConfigError: it cannot hold them."""
        raise ConfigError(f"{type(self).__name__} holds no linear model.\nLeave --model out.")

    @property
    def holds_line(self) -> bool:
        """Can it take one?"""
        return type(self).take_line is not Head.take_line

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        """What `predict` gave, as numpy, for people: one Prediction a row."""
        raise TypeError(f"{type(self).__name__} does not decode")


def mean_of_views(outputs: Sequence[Tensor]) -> Tensor:
    """`Head.merge` of scores of the row as a whole, which a view does not move."""
    return torch.stack(list(outputs)).mean(0)
