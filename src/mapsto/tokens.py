"""Tokenizers learned from texts: words and byte-level BPE by the `tokenizers` library, and characters.

Unicode is composed (NFC), which changes no text's meaning. Words are lower-cased and single punctuation marks; BPE keeps every byte,
so no text is unrepresentable. The first numbers are the same for all: padding, unknown, missing, start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from mapsto.ngrams import code_points

SPECIAL = ("<pad>", "<unknown>", "<missing>", "<start>")
PADDING, UNKNOWN, MISSING, START = range(4)
FIRST = len(SPECIAL)


def learn_tokenizer(kind: str, texts: Sequence[str], size: int) -> str:
    """A tokenizer of `size` tokens at most, as JSON. kind: "words" (those seen twice; once where texts are few) or "bpe"."""
    if kind == "words":
        tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
        tokenizer.normalizer = normalizers.Sequence(  # type: ignore[assignment]
            [normalizers.NFC(), normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True)]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
        trainer = trainers.WordLevelTrainer(
            vocab_size=size, min_frequency=1 if len(texts) < 200 else 2, special_tokens=list(SPECIAL), show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.NFC()  # type: ignore[assignment]
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=max(size, FIRST + 256), special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((plain(text) for text in texts), trainer)
    return tokenizer.to_str()


@cache
def tokenizer_of(codes: str) -> Tokenizer:
    """The tokenizer of a JSON made by `learn_tokenizer`. Names of special tokens that occur in a text are text."""
    tokenizer = Tokenizer.from_str(codes)
    tokenizer.encode_special_tokens = True
    return tokenizer


def alphabet_of(texts: Sequence[str], size: int) -> str:
    """The most frequent characters, at most `size`, in order of code points."""
    found: Counter[int] = Counter()
    for text in texts:
        values, counts = np.unique(code_points(text), return_counts=True)
        found.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    kept = sorted(found, key=lambda code: (-found[code], code))[:size]
    return "".join(map(chr, sorted(code for code in kept if not 0xD800 <= code < 0xE000)))  # JSON has no lone surrogates


def characters(text: str, alphabet: str) -> list[int]:
    """(N,) token numbers of the characters."""
    known, codes = code_points(alphabet), code_points(text)
    place = np.searchsorted(known, codes)
    found = (place < len(known)) & (known[np.minimum(place, len(known) - 1)] == codes) if len(known) else np.zeros(len(codes), bool)
    return np.where(found, place + FIRST, UNKNOWN).tolist()


def plain(text: str) -> str:
    """The text as the tokenizers take it: their strings hold no lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")
