"""A text right of the arrow: how it is written as tokens, which is what its kinds of answers differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mapsto.outputs.base import Output
from mapsto.types.text.targets import Values
from mapsto.types.text.tokenizers import pieces_of


@dataclass(frozen=True)
class TextOutput(Output):
    """Of a fitted text. `learn` and `tokens` are asked before it is fitted."""

    whole: ClassVar[bool] = False  # is a text written from its beginning to its end, so that none may be cut?

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
        """What the type learns, {"kind", "codes" or "alphabet", "most"}. values: training texts, or a sample
        of them; tokenizer, size, most: as asked for; beside: texts to learn tokens from in place of them;
        own: in place of learned tokens the codes of `tokenizer`, or where that is None a public model's
        (`mapsto.types.text.pretrained`)."""
        raise TypeError(f"{cls.__name__} does not learn")

    @classmethod
    def tokens(cls, values: Values, kind: str, codes: str, alphabet: str) -> list[np.ndarray]:
        """Texts as token numbers, int32 (n,) each, nothing for a missing one."""
        raise TypeError(f"{cls.__name__} has no tokens")

    def how(self, most: int) -> str:
        """For the line that says how a text of at most so many tokens is written."""
        return ""

    @property
    def spelling(self) -> tuple[str, str, str]:
        """What its tokens are made by."""
        return self.type.kind, self.type.codes, self.type.alphabet


def sizes(kind: str, codes: str, alphabet: str) -> np.ndarray:
    """(V,) int64: the bytes of text that each token stands for; 0 for marks."""
    return np.array([len(piece) for piece in pieces_of(kind, codes, alphabet)], np.int64)
