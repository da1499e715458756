"""What is read of a text, whatever its tokens are: how much of it, and which runs are counted."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np

from mapsto.types.text.cells import is_path
from mapsto.types.text.ngrams import filled, frequencies, grams, spread

COUNT_BITS = 8  # of a packed run: its bucket stands above them
MOST_COUNT = (1 << COUNT_BITS) - 1  # a run's count beyond which it is the same
AT_ONCE = 1_000_000  # characters whose runs are counted together: some 400 MB
MOST_CHARACTERS = 20_000  # of a text that are read at all; said where any text is longer
SAMPLED = 5_000_000  # characters that buckets and rarities are counted on
WINDOWS = 8  # views of a long text at most


class Text(Protocol):
    """What a reading must know of the text's type, which is frozen: its options, and what it learned. See
    `mapsto.types.text`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def tokenizer(self) -> str | None: ...
    @property
    def grams(self) -> bool | None: ...
    @property
    def max(self) -> int | None: ...
    @property
    def long(self) -> str: ...
    @property
    def size(self) -> int | None: ...
    @property
    def hide(self) -> float | None: ...
    @property
    def codes(self) -> str: ...
    @property
    def alphabet(self) -> str: ...
    @property
    def aligned(self) -> bool: ...
    @property
    def most(self) -> int: ...
    @property
    def kept(self) -> int: ...
    @property
    def buckets(self) -> int: ...
    @property
    def words(self) -> int: ...
    @property
    def longest(self) -> int: ...
    @property
    def rarity(self) -> str: ...


def unspaced(texts: Sequence[str]) -> bool:
    """Are they long and without spaces, as molecules are?"""
    return sum(len(text.split()) for text in texts) < 1.1 * len(texts) and sum(map(len, texts)) >= 8 * len(
        texts
    )


def described(column_type: Text, texts: Sequence[str]) -> tuple[Text, list[str]]:
    """(a room that can say what kind of texts they are, what is read of each)."""
    over = sum(len(text) > MOST_CHARACTERS for text in texts) / max(1, len(texts))
    texts = [cut(text, column_type.long) for text in texts]
    distinct = len(set(texts))
    few = distinct <= min(20, len(texts) // 2)
    aligned = len({len(text) for text in texts}) == 1 < len(texts)
    paths = sum(is_path(text) and "/" in text for text in texts) > 0.9 * len(texts) > 0
    runs = 0 if unspaced(texts) else 2
    return (
        replace(
            column_type,
            words=runs,
            cut=0.0,
            distinct=distinct if few else 0,
            over=over,
            aligned=aligned,
            paths=paths,
        ),
        texts,
    )


def cut(text: str, long: str) -> str:
    """What is read of a very long text."""
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return text[:half] + text[-half:] if long == "ends" else text[:MOST_CHARACTERS]


def shortened(tokens: Sequence[int], most: int, long: str) -> Sequence[int]:
    """What is stored of a text's tokens."""
    if len(tokens) <= most:
        return tokens
    if long == "ends":
        return [*tokens[: most // 2], *tokens[len(tokens) - (most - most // 2) :]]
    return tokens[:most]


def counted(column_type: Text, texts: Sequence[str]) -> dict[str, Any]:
    """As many buckets as the training texts fill, and how rare each is."""
    texts = spread(texts, SAMPLED)
    wide = filled(texts, 1 << 20, column_type.longest, column_type.words)
    buckets = 1 << int(np.clip(np.ceil(np.log2(max(wide, 1))), 10, 17))
    found = frequencies(texts, buckets, column_type.longest, column_type.words)
    level = np.clip(np.round(16 * np.log2((1 + len(texts)) / (1 + found))), 0, 255).astype(np.uint8)
    return {"buckets": buckets, "rarity": base64.b64encode(zlib.compress(level.tobytes(), 9)).decode()}


def packed(column_type: Text, texts: Sequence[str]) -> list[np.ndarray]:
    """The packed bag of each of some texts."""
    text, bucket, count = grams(texts, column_type.buckets, column_type.longest, column_type.words)
    packed = ~(bucket << COUNT_BITS | np.minimum(count, MOST_COUNT)).astype(np.int32)
    return np.split(packed, np.searchsorted(text, np.arange(1, len(texts))))


def about_bag(column_type: Text) -> str:
    return (
        f"counted runs of letters{' and words' if column_type.words else ''} in {column_type.buckets:,}"
        " buckets"
    )


def by_size(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Consecutive texts of AT_ONCE characters together, or one that is longer."""
    first = size = 0
    for i, text in enumerate(texts):
        if size and size + len(text) > AT_ONCE:
            yield texts[first:i]
            first, size = i, 0
        size += len(text) + 1
    if size:
        yield texts[first:]


def said(column_type: Any, name: str, about: str) -> str:
    """What a person should hear of how a text is read."""
    told = f"'{name}' is read as {about}"
    if column_type.cut >= 0.005:
        told += (
            f"; of {column_type.cut:.0%} of the texts, longer than {column_type.most} tokens,"
            f" {_LONG[column_type.long]}"
            " (max=…, long=…)"
        )
    if column_type.over:
        parts = "its first and last 10,000" if column_type.long == "ends" else "its first 20,000"
        told += (
            f"; of a text of more than 20,000 characters ({column_type.over:.1%} of them), only {parts} are"
            " read"
        )
    if column_type.paths:
        told += "; its cells look like names of files, of which only the letters are read"
    elif column_type.distinct == 1:
        told += f"; all its texts are the same, so nothing can be learned from it (--drop {name})"
    elif column_type.distinct:
        told += f"; it has {column_type.distinct} different texts only: {name}:category would do"
    return told


_LONG = {
    "start": "the start is read",
    "ends": "both ends are read",
    "windows": "windows are read and averaged",
}
