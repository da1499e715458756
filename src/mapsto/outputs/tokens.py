"""Texts that are learned by themselves (`-> text`): what comes next, token by token.

Letters: n blocks of a text, T tokens of each, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mapsto.metrics import Metric
from mapsto.outputs._next_token import figures
from mapsto.outputs._text import TextOutput, sizes
from mapsto.outputs.base import Usage
from mapsto.types.text.targets import Values, stream_tokens, stream_vocabulary

if TYPE_CHECKING:
    from mapsto.outputs._head import Head


@dataclass(frozen=True)
class Tokens(TextOutput):
    """Predicted: nats (n,) of each block; target: (n, T) tokens."""

    task: ClassVar[str] = "generation"
    unit: ClassVar[str] = "blocks"
    usage: ClassVar[Usage | None] = Usage(
        "sample",
        ("--n", "3", "--tokens", "200"),
        "print(run.sample(3, tokens=200, temperature=0.8, seed=1)[0])",
        "let it write",
        "Let it write, from the shell and from Python; a prompt says how a text begins.",
    )

    @classmethod
    def learn(
        cls,
        values: Values,
        tokenizer: str | None,
        size: int | None,
        most: int | None,
        beside: Values = (),
        own: str = "",
    ) -> dict[str, Any]:
        return stream_vocabulary(values, tokenizer, size, most, own)

    @classmethod
    def tokens(cls, values: Values, kind: str, codes: str, alphabet: str) -> list[np.ndarray]:
        """A START where a document begins."""
        return stream_tokens(values, kind, codes, alphabet)

    def how(self, most: int) -> str:
        return f"and learned in blocks of {most} tokens"

    def head(self, width: int) -> Head:
        from mapsto.outputs._next_token_head import NextToken

        return NextToken(width, self.type.vocabulary_size, self.type.most)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return figures(sizes(*self.spelling))
