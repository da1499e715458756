"""Texts read word by word: where each word stands, what it is called, and what it is made of. For tags of
words, and for finding answers.

A word that training never showed must still say something: beside its own vector it has those of the hashed
runs of its letters (fastText, Bojanowski et al. 2017) and of its shape (`Xx` for a name, `d` for digits). On
3,400 tweets (wnut17) no word of most names in the test rows occurs in training.

A word is W numbers: its first and last place in the text, what it is called (a hash of 31 bits, case aside),
its stem likewise, its number in the vocabulary, its shape, and the runs of its letters. Letters: B batch, T
words, W numbers of a word, D width, F features, V vocabulary.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from mapsto.cells import Apart
from mapsto.types.text.ngrams import UNSPACED
from mapsto.types.text.tokenizers import FIRST, UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor

BEGIN, END, NAME, STEM, WORD, SHAPE, RUNS = range(7)  # columns of a word; runs of letters fill the rest
MOST_RUNS = 26  # runs of letters that are read of a word
WIDTH = RUNS + MOST_RUNS
BUCKETS, SHAPES = 1 << 14, 256  # that runs and shapes are hashed into; 0 stands for none
MOST_WORDS = 2_000  # of a text that are read at all
_SIGN = "".join(
    f"{chr(low)}-{chr(high)}" for low, high in UNSPACED
)  # of a script without spaces: a word each
_PIECE = re.compile(
    rf"https?://\S+|[@#]\w+|\d+(?:[.,:/]\d+)*|[{_SIGN}]|[^\W\d_{_SIGN}]+(?:[.](?=\w[.])[^\W\d_])*(?:['’](?=[^\W\d_]{{3}})[^\W\d_]+)*|['’]\w{{1,2}}\b|\w|[^\w\s]+?"
)
_ENDING = re.compile(r"(?:'s|’s|ings?|edly|ed|es|s|ly)$")


def spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end, in characters: those of a list as they came, else words,
    numbers, names with @ and #, addresses and single signs."""
    if isinstance(text, Apart):
        ends = np.cumsum([len(word) + 1 for word in text.words]).tolist()
        return [(end - 1 - len(word), end - 1) for word, end in zip(text.words, ends, strict=True)]
    return [found.span() for found in _PIECE.finditer(text)]


def words_of(text: str | None) -> list[str]:
    """The words of a text."""
    return (
        []
        if text is None
        else list(text.words)
        if isinstance(text, Apart)
        else [text[a:b] for a, b in spans(text)]
    )


def learn(texts: Sequence[str], size: int) -> str:
    """The vocabulary: words seen at least twice (once where texts are few), case aside, the most frequent
    first, a line each."""
    counts = Counter(word.lower() for text in texts for word in words_of(text))
    least = 1 if len(texts) < 200 else 2
    kept = sorted(
        (word for word, count in counts.items() if count >= least and "\n" not in word),
        key=lambda word: (-counts[word], word),
    )
    return "\n".join(kept[:size])


@cache
def numbers_of(known: str) -> Mapping[str, int]:
    """{word: its number} of what `learn` gave."""
    return {word: FIRST + i for i, word in enumerate(known.split("\n"))} if known else {}


def encoded(text: str | None, known: str) -> np.ndarray:
    """A text as int32 (n, W), a row a word."""
    if text is None:
        return np.zeros((0, WIDTH), np.int32)
    found = spans(text)[:MOST_WORDS]
    rows = np.zeros((len(found), WIDTH), np.int32)
    if found:
        number, words = numbers_of(known), [text[begin:end] for begin, end in found]
        rows[:, :NAME] = found
        rows[:, NAME:] = [_parts(word) for word in words]
        rows[:, WORD] = [number.get(word.lower(), UNKNOWN) for word in words]
    return rows


@lru_cache(1 << 17)
def _parts(word: str) -> tuple[int, ...]:
    """What is told of a word by its letters alone: its columns from NAME on, the vocabulary's left 0."""
    lower = word.lower()
    stem = _ENDING.sub("", lower) if len(lower) > 4 else lower
    marked = f"<{lower}>"
    runs = [marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1)] + [marked[:5], marked[-5:]]
    if len(runs) > MOST_RUNS:
        runs = [runs[i * len(runs) // MOST_RUNS] for i in range(MOST_RUNS)]
    hashed = [1 + _hash(run) % (BUCKETS - 1) for run in runs]
    return (
        _hash(lower),
        _hash(stem),
        0,
        1 + _hash(shape_of(word)) % (SHAPES - 1),
        *hashed,
        *[0] * (MOST_RUNS - len(hashed)),
    )


def shape_of(word: str) -> str:
    """Capitals as X, others as x, digits as d; runs of the same longer than two as two."""
    signs = "".join(
        "X" if sign.isupper() else "x" if sign.isalpha() else "d" if sign.isdigit() else sign
        for sign in word[:40]
    )
    return re.sub(r"(.)\1{2,}", r"\1\1", signs)


def _hash(text: str) -> int:
    return (
        int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "little") >> 1
    )


def numbers(words: Tensor) -> Tensor:
    """(N, W) -> (N,): a number of 20 bits for each, by what it is called; as token numbers are, above those
    of marks."""
    return FIRST + words[:, NAME] % (1 << 20)


def names_of(words: Any) -> list[list[int]]:
    """Padded (B, T, W) -> what the words of each text are called."""
    return [
        row[:length]
        for row, length in zip(words.values[..., NAME].tolist(), words.lengths.tolist(), strict=True)
    ]


def name_of(word: str) -> int:
    """What a word is called, as its row says."""
    return _parts(word)[0]
