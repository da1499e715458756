"""Conversations: what the assistant says next, token by token, given what was said before.

Letters: n blocks of conversations, T tokens of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mapsto.metrics import Metric
from mapsto.outputs._next_token import figures
from mapsto.outputs._talk import TALK
from mapsto.outputs._text import sizes
from mapsto.outputs.base import Output, Usage

if TYPE_CHECKING:
    from mapsto.outputs._head import Head


@dataclass(frozen=True)
class Chat(Output):
    """Predicted: nats (n,) of what the assistant says in each block; target: (n, T) tokens, PADDING where
    another speaks."""

    task: ClassVar[str] = "generation"
    unit: ClassVar[str] = "blocks"
    usage: ClassVar[Usage | None] = TALK

    def head(self, width: int) -> Head:
        from mapsto.outputs._next_token_head import NextToken

        return NextToken(width, self.type.vocabulary_size, self.type.most, separate=True)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        bytes_of = sizes(self.type.kind, self.type.codes, self.type.alphabet)
        return figures(bytes_of, "a token of the assistant's", "given what was said before")
