"""The contracts of nets that write token by token: answers to something, and texts by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mapsto.batch import Field
from mapsto.errors import ConfigError


class Writer(nn.Module):
    """A net that writes answers token by token, for `learners.teacher_forcing` and `mapsto.generation.beam`:
    forward(inputs, given=tokens (B, T)) gives {slot: logits (B, T, V)} of the token behind each. most: tokens
    an answer has at most."""

    most: int

    def begin(self, inputs: Mapping[str, Field]) -> Any:
        """What is read, once for all tokens that will be written: a state with choose(rows (b,), answers (b ·
        K,)), which goes on with some of the rows and some of their answers."""
        raise TypeError(f"{type(self).__name__} does not begin")

    def next(self, tokens: Tensor, state: Any) -> Tensor:
        """The last tokens (B · K,) -> (B · K, V) float32 logits of those behind them; the state moves on."""
        raise TypeError(f"{type(self).__name__} has no next")

    # ---- in an exported net, which is asked anew for each token ----

    @property
    def kept_sides(self) -> dict[str, str]:
        """{name: sides} of the tensors that a state is (`models._graph_state`). ConfigError: it is none."""
        raise _kept(self)

    def tensors_of(self, state: Any) -> dict[str, Tensor]:
        """A state's tensors, those with a side T where a token was written."""
        raise _kept(self)

    def state_of(self, tensors: Mapping[str, Tensor]) -> Any:
        """The state of such tensors, for one token."""
        raise _kept(self)

    def looks(self, inputs: Mapping[str, Field], tokens: Tensor) -> Tensor | None:
        """(B, T, S): how much of each token of the input counts when the token behind each of the answer (B,
        T) is written; None where that cannot be told."""
        return None


class LanguageModel(nn.Module):
    """A net that says what token comes next, for `learners.next_token`, `chat`, `dpo` and
    `mapsto.generation`: forward({}, given=tokens (B, T)) gives {slot: logits (B, T, V)}. most: tokens that it
    reads at once."""

    most: int

    def next(self, tokens: Tensor, cache: Any = None) -> Tensor:
        """(B, T) -> (B, V) float32: logits of the token behind the last. With a cache, `tokens` follow those
        it has seen; the first call may hand over many, later ones one each."""
        raise TypeError(f"{type(self).__name__} has no next")

    def cache(self, rows: int) -> Any:
        """An empty cache for so many texts at once."""
        raise TypeError(f"{type(self).__name__} has no cache")

    # ---- in an exported net, which is asked anew for each token ----

    def kept_tensor(self, cache: Any) -> Tensor:
        """A cache as one tensor, CACHED of `models._graph_state`. ConfigError: it is none."""
        raise _kept(self)

    def cache_of(self, kept: Tensor) -> Any:
        """The cache of such a tensor, for one call."""
        raise _kept(self)


def _kept(model: nn.Module) -> ConfigError:
    return ConfigError(
        f"this net ({type(model).__name__}) cannot be exported yet: what it keeps between two tokens is no"
        " tensor of a graph.\nUse the run itself."
    )
