"""How texts right of the arrow are written as tokens, and read from them again: what several kinds of answers
(`mapsto.outputs`) and several types share. Letters: n tokens of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np

from mapsto.cells import Continued
from mapsto.types.text import pretrained
from mapsto.types.text.pretrained import PUBLIC
from mapsto.types.text.tokenizers import (
    FIRST,
    START,
    alphabet_of,
    begins_blank,
    byte_pairs,
    pieces_of,
    token_numbers,
)

Values = Sequence[str | None]

# characters of training text up to which single characters are the better tokens, where these are few
SHORT = 5_000_000
LETTERS = 256  # different characters that are few
CHARACTERS_A_PIECE = 1_000  # of training text: a rarer piece is not learned
TRIED = 100_000  # characters on which it is seen how many tokens a text makes
BLOCK = 128  # tokens that are read at once, where nobody says otherwise
BLOCKS = 64  # that a training text should fill at least


def too_long(tokens: int, most: int) -> str:
    return (
        f"takes {tokens:,} tokens, more than the {most:,} that are written at most. To cut it, say how many:"
        f" text(max={most})."
    )


def stream_vocabulary(
    values: Values,
    tokenizer: str | None,
    size: int | None,
    most: int | None,
    own: str = "",
) -> dict[str, Any]:
    """What a type learns to write texts that lie behind each other: {"kind", "codes" or "alphabet", "most"}.
    values: training texts, or a sample of them. own: a public model's tokens, in place of learned ones."""
    texts = [value for value in values if value]
    characters = sum(map(len, texts))
    few = characters <= SHORT and len(alphabet_of(texts, LETTERS + 1)) <= LETTERS
    kind = tokenizer or ("char" if few else "bpe")
    if own:
        found: dict[str, Any] = {"kind": PUBLIC, "codes": own}
    elif kind == "char":
        found = {"kind": kind, "alphabet": alphabet_of(texts, size or 5_000)}
    else:
        found = {"kind": kind, "codes": byte_pairs(texts, size, CHARACTERS_A_PIECE)}
    some = "".join(text[:TRIED] for text in texts[:64])[:TRIED]
    (tokens,) = stream_tokens([some], **{"codes": "", "alphabet": "", **found})
    filled = int(len(tokens) / max(1, len(some)) * characters) // BLOCKS // 8 * 8
    return {**found, "most": most or int(min(BLOCK, max(8, filled)))}


def stream_tokens(values: Values, kind: str, codes: str, alphabet: str) -> list[np.ndarray]:
    """Texts as token numbers, int32 (n,) each: where a document begins a START, which also ends the one
    before; nothing for what is missing."""
    begins = [[] if value is None or isinstance(value, Continued) else [START] for value in values]
    found = token_numbers(values, kind, codes, alphabet)
    return [
        np.concatenate([np.array(first, np.int32), tokens])
        for first, tokens in zip(begins, found, strict=True)
    ]


@cache
def _pieces(kind: str, codes: str, alphabet: str) -> list[bytes]:
    return pieces_of(kind, codes, alphabet)


def decode_texts(rows: Iterable[np.ndarray], kind: str, codes: str, alphabet: str) -> list[str]:
    """Texts from their token numbers (n,) each; bytes that are no letters become U+FFFD."""
    if kind == PUBLIC:
        return pretrained.decode_texts(((row[row >= FIRST] - FIRST).tolist() for row in rows), codes)
    pieces = _pieces(kind, codes, alphabet)
    texts = [b"".join([pieces[token] for token in row.tolist()]).decode("utf-8", "replace") for row in rows]
    blank = kind == "bpe" and begins_blank(codes)
    return [text.removeprefix(" ") for text in texts] if blank else texts
