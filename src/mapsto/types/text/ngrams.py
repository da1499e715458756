"""Counted runs of characters and words, hashed into buckets (fastText's trick, Bojanowski et al. 2017;
hashing: Weinberger et al. 2009).

No vocabulary, so nothing is unknown: a new word shares the runs of letters it is made of. Any script:
letters, marks and digits make words; a sign of a script written without spaces (Han, kana, Thai, …), a symbol
or a punctuation mark is a word of its own.

Everything is array code over many texts at once. Letters: N characters of all texts, W their words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np

SPACE, WORD, SINGLE = 0, 1, 2
AT_ONCE = 64  # texts whose runs are counted at once
TABLE = 0x20000  # code points looked up in a table: the planes in use; what lies above is a sign of its own
# Scripts written without spaces between words: Thai, Lao, Khmer, Myanmar; kana and Han; and the supplementary
# ideographs
UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
)


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """(lower-case code point, kind) of every code point below TABLE."""
    fold, kind = np.arange(TABLE, dtype=np.uint32), np.full(TABLE, WORD, np.int8)
    for code in range(TABLE):
        sign = chr(code)
        lower = sign.lower()
        if len(lower) == 1:
            fold[code] = ord(lower)
        category = unicodedata.category(sign)
        if category[0] == "Z" or category in ("Cc", "Cf", "Cn"):
            kind[code] = SPACE
        elif category[0] in "PS":
            kind[code] = SINGLE
    for low, high in UNSPACED:
        kind[low : high + 1] = np.where(kind[low : high + 1] == WORD, SINGLE, kind[low : high + 1])
    return fold, kind


def code_points(text: str) -> np.ndarray:
    """(N,) uint32; composed and decomposed accents are the same text. Lone surrogates are kept as they
    are."""
    return np.frombuffer(unicodedata.normalize("NFC", text).encode("utf-32-le", "surrogatepass"), np.uint32)


def grams(
    texts: Sequence[str], buckets: int, longest: int = 5, words: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(text, bucket, count), each (n,), sorted by text and bucket: runs of 2 to `longest` characters (0:
    none) fall into the upper half of `buckets`, runs of 1 to `words` words (0: none) into the lower."""
    sign, kind, text = _joined(texts)
    found = [_character_runs(sign, text, n) for n in range(2, longest + 1)]
    half = buckets // 2
    pairs = [(row, half + (hashed % np.uint64(half)).astype(np.int64)) for row, hashed in found]
    pairs += [
        (row, (hashed % np.uint64(half)).astype(np.int64))
        for row, hashed in _word_runs(sign, kind, text, words)
    ]
    if not pairs:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    keys = np.concatenate([row * buckets + bucket for row, bucket in pairs])
    unique, counts = np.unique(keys, return_counts=True)
    return unique // buckets, unique % buckets, counts


def filled(texts: Sequence[str], buckets: int, longest: int = 5, words: int = 2) -> int:
    """How many of the buckets hold a run."""
    found = np.zeros(buckets, bool)
    for low in range(0, len(texts), AT_ONCE):
        found[grams(texts[low : low + AT_ONCE], buckets, longest, words)[1]] = True
    return int(found.sum())


def frequencies(texts: Sequence[str], buckets: int, longest: int = 5, words: int = 2) -> np.ndarray:
    """(buckets,) in how many texts each occurs."""
    found = np.zeros(buckets, np.int64)
    for low in range(0, len(texts), AT_ONCE):
        found += np.bincount(grams(texts[low : low + AT_ONCE], buckets, longest, words)[1], minlength=buckets)
    return found


def _joined(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All texts behind each other, each between two spaces, runs of spaces as one: (sign uint64, kind, text)
    each (N,)."""
    fold, kinds = _tables()
    space = np.array([32], np.uint32)
    parts = [np.concatenate([space, code_points(text), space]) for text in texts]
    codes = np.concatenate(parts) if parts else np.empty(0, np.uint32)
    text = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    known = codes < TABLE
    kind = np.where(known, kinds[np.where(known, codes, 0)], SINGLE)
    sign = np.where(known, fold[np.where(known, codes, 0)], codes)
    blank = kind == SPACE
    sign[blank] = 32
    again = blank[1:] & blank[:-1] & (text[1:] == text[:-1])
    keep = np.concatenate([np.ones(min(1, len(codes)), bool), ~again])
    return sign[keep].astype(np.uint64), kind[keep], text[keep]


def _character_runs(sign: np.ndarray, text: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(text, hash) of every run of n characters that lies within one text."""
    if len(sign) < n:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    inside = text[n - 1 :] == text[: len(text) - n + 1]
    hashed = np.full(len(sign) - n + 1, n, np.uint64)
    for i in range(n):
        hashed = _mixed(hashed + sign[i : len(sign) - n + 1 + i] + np.uint64(1))
    return text[: len(text) - n + 1][inside], hashed[inside]


def _word_runs(
    sign: np.ndarray, kind: np.ndarray, text: np.ndarray, longest: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """[(text, hash)] of runs of 1, 2, … `longest` words."""
    if not longest or not len(sign):
        return []
    letter = kind == WORD
    before = np.concatenate([[False], letter[:-1]])
    start = (letter & ~before) | (kind == SINGLE)
    number = np.cumsum(start) - 1  # (N,) which word a character belongs to
    inside = letter | (kind == SINGLE)
    first = np.flatnonzero(start)  # (W,)
    if not len(first):
        return []
    place = (np.arange(len(sign)) - first[np.maximum(number, 0)]).astype(np.uint64)
    parts = np.where(
        inside, _mixed(sign * np.uint64(0x100000001B3) + place), np.uint64(0)
    )  # a word's hash is the sum over its letters at their places
    word = _mixed(np.add.reduceat(parts, first))
    row = text[first]
    found, run = [(row, word)], word
    for n in range(1, longest):
        run = _mixed(run[:-1] * np.uint64(3) + word[n:])
        same = row[n:] == row[: len(row) - n]
        found.append((row[: len(row) - n][same], run[same]))
    return found


def _mixed(value: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele et al. 2014): every bit of the result depends on every bit of `value`
    (uint64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def spread(texts: Sequence[str], most: int) -> Sequence[str]:
    """Every text, or every second, third, …: `most` characters or so. The first ones alone may all be of one
    class."""
    return texts[:: max(1, -(-sum(map(len, texts)) // most))]
