"""Tokenizers learned from texts: words and byte-level BPE by the `tokenizers` library, and characters.

Unicode is composed (NFC), which changes no text's meaning. Words are lower-cased and single punctuation
marks; BPE keeps every byte, so no text is unrepresentable. The first numbers are the same for all: padding,
unknown, missing, start, and the marks of a conversation (`mapsto.types.text.conversation`), so that what was
learned on texts can go on with conversations. No text can be read as one of them. Tokens of public models
(`mapsto.types.text.pretrained`) keep their numbers behind these."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from mapsto.types.text import pretrained
from mapsto.types.text.ngrams import code_points
from mapsto.types.text.pretrained import PUBLIC, letters_of_bytes

SPECIAL = (
    "<pad>",
    "<unknown>",
    "<missing>",
    "<start>",
    "<system>",
    "<user>",
    "<assistant>",
    "<tool>",
    "<end>",
)
PADDING, UNKNOWN, MISSING, START, SYSTEM, USER, ASSISTANT, TOOL, END = range(9)
FIRST = len(SPECIAL)
NEVER = tuple(number for number in range(FIRST) if number != START)  # marks that are no part of an answer
SMALLEST, LARGEST = 512, 16_384  # pieces that a vocabulary of byte pairs has
A_PIECE = 400  # characters of training text for each of them
LEARNED = 20_000_000  # characters that they are learned from
LONGEST = 256  # characters of a word from which pairs are learned
_LONG = re.compile(rf"\S{{{LONGEST + 1},}}|\s{{{LONGEST + 1},}}")


def learn_tokenizer(kind: str, texts: Sequence[str], size: int, blank: bool = False) -> str:
    """A tokenizer of `size` tokens at most, as JSON. kind: "words" (those seen twice; once where texts are
    few) or "bpe". blank: byte pairs of a text's first word are those that it has behind a blank."""
    if kind == "words":
        tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
        tokenizer.normalizer = normalizers.Sequence(  # type: ignore[assignment]
            [
                normalizers.NFC(),
                normalizers.BertNormalizer(
                    clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True
                ),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
        trainer = trainers.WordLevelTrainer(
            vocab_size=size,
            min_frequency=1 if len(texts) < 200 else 2,
            special_tokens=list(SPECIAL),
            show_progress=False,
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.NFC()  # type: ignore[assignment]
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=blank)  # type: ignore[assignment]
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=max(size, FIRST + 256),
            special_tokens=list(SPECIAL),
            initial_alphabet=alphabet,
            show_progress=False,
        )
    plainly = (plain(text) for text in texts)
    tokenizer.train_from_iterator(
        plainly if kind == "words" else (part for text in plainly for part in in_short_words(text)), trainer
    )
    return tokenizer.to_str()


def in_short_words(text: str) -> Iterator[str]:
    """A text, apart wherever a word, or what is blank between two, has had LONGEST characters: to learn pairs
    takes time with the square of a word's length, and what long ones are made of is in their parts too."""
    begun = 0
    for run in _LONG.finditer(text):
        for cut in range(run.start() + LONGEST, run.end(), LONGEST):
            yield text[begun:cut]
            begun = cut
    yield text[begun:]


def byte_pairs(texts: Sequence[str], size: int | None, each: int = A_PIECE, blank: bool = False) -> str:
    """Byte-level BPE of `size` tokens; by default one for `each` so many characters, within limits. Learned
    from some of very many texts. blank: as in `learn_tokenizer`."""
    characters = sum(map(len, texts))
    found = size or int(np.clip(characters // each, SMALLEST, LARGEST)) // 64 * 64
    return learn_tokenizer("bpe", texts[:: max(1, characters // LEARNED)], found, blank)


@cache
def begins_blank(codes: str) -> bool:
    """Do byte pairs, as JSON, put a blank before a text's first word?"""
    return bool(json.loads(codes)["pre_tokenizer"]["add_prefix_space"])


@cache
def tokenizer_of(codes: str) -> Tokenizer:
    """The tokenizer of a JSON made by `learn_tokenizer`. Names of special tokens that occur in a text are
    text."""
    tokenizer = Tokenizer.from_str(codes)
    tokenizer.encode_special_tokens = True
    return tokenizer


@cache
def piece_bytes(codes: str) -> np.ndarray:
    """(vocabulary,) int64: the bytes of each token of byte pairs, whose every letter is one; 0 of special
    ones."""
    known = tokenizer_of(codes).get_vocab()
    found = np.zeros(max(known.values()) + 1, np.int64)
    for token, number in known.items():
        found[number] = 0 if token in SPECIAL else len(token)
    return found


def alphabet_of(texts: Sequence[str], size: int) -> str:
    """The most frequent characters, at most `size`, in order of code points."""
    found: Counter[int] = Counter()
    for text in texts:
        values, counts = np.unique(code_points(text), return_counts=True)
        found.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    kept = sorted(found, key=lambda code: (-found[code], code))[:size]
    return "".join(
        map(chr, sorted(code for code in kept if not 0xD800 <= code < 0xE000))
    )  # JSON has no lone surrogates


def characters(text: str, alphabet: str) -> list[int]:
    """(N,) token numbers of the characters."""
    return coded(text, alphabet).tolist()


def coded(text: str, alphabet: str) -> np.ndarray:
    """(N,) int64 token numbers of the characters."""
    known, codes = code_points(alphabet), code_points(text)
    place = np.searchsorted(known, codes)
    found = (
        (place < len(known)) & (known[np.minimum(place, len(known) - 1)] == codes)
        if len(known)
        else np.zeros(len(codes), bool)
    )
    return np.where(found, place + FIRST, UNKNOWN)


def vocabulary_size(kind: str, codes: str, alphabet: str) -> int:
    """Token numbers there are, marks included, of characters and of learned tokenizers."""
    return FIRST + len(alphabet) if kind == "char" else tokenizer_of(codes).get_vocab_size()


def token_numbers(
    values: Sequence[str | None], kind: str, codes: str, alphabet: str, answers: bool = False
) -> list[np.ndarray]:
    """The token numbers of each text, int32 (n,), without marks; nothing for what is missing. answers: with
    what a public model's answers begin with."""
    texts = ["" if value is None else value for value in values]
    if kind == "char":
        return [coded(text, alphabet).astype(np.int32) for text in texts]
    if kind == PUBLIC:
        split = pretrained.begun if answers else pretrained.content
        return [
            np.asarray(found, np.int32) + FIRST for found in split([plain(text) for text in texts], codes)
        ]
    return [
        np.asarray(found.ids, np.int32)
        for found in tokenizer_of(codes).encode_batch_fast([plain(text) for text in texts])
    ]


def pieces_of(kind: str, codes: str, alphabet: str) -> list[bytes]:
    """The bytes in utf-8 that each token stands for: nothing for marks, U+FFFD for an unknown character. Byte
    pairs may be parts of one."""
    if kind == "char":
        rest = [letter.encode("utf-8") for letter in alphabet]
    elif kind == PUBLIC:
        rest = list(pretrained.pieces_of(codes))
    else:
        tokenizer, byte = tokenizer_of(codes), {letter: value for value, letter in letters_of_bytes().items()}
        names = [str(tokenizer.id_to_token(number)) for number in range(FIRST, tokenizer.get_vocab_size())]
        rest = [bytes(byte[letter] for letter in name) for name in names]
    marks = [b""] * FIRST
    marks[UNKNOWN] = "\ufffd".encode()
    return marks + rest


def plain(text: str) -> str:
    """The text as the tokenizers take it: their strings hold no lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")
