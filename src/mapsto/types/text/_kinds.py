"""Which reading of `mapsto.types.text.inputs` a text gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mapsto.types.text._reading import Text, cut, unspaced
from mapsto.types.text.pretrained import PUBLIC


def tokenizer_kind(column_type: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> str:
    """How texts are read: as the model must, else as was asked, else as the model likes it, else by what they
    are."""
    if must := "apart" if spec.get("apart") else PUBLIC if "codes" in spec else None:
        return must
    likes = "ngrams" if spec.get("fixed") else spec.get("tokenizer")
    return (
        column_type.tokenizer
        or likes
        or ("char" if unspaced([cut(text, column_type.long) for text in texts]) else "words")
    )
