"""Tokenizers that come with public models, from the `tokenizers` library's own JSON. Numbers here are the
model's own.

Names of special tokens that occur in a text are text, as with `split_special_tokens=True` in transformers: no
cell of the data can write one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from mapsto.errors import ConfigError

PUBLIC = "public"  # the kind of a text's tokens
BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@cache
def tokenizer_of(codes: str, most: int | None = None) -> Tokenizer:
    """The tokenizer of a JSON; most: tokens that a text has at most, marks included."""
    tokenizer = Tokenizer.from_str(codes)
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    if most is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(most)
    return tokenizer


def marks_of(codes: str) -> int:
    """How many marks stand around a text that is read."""
    return tokenizer_of(codes).num_special_tokens_to_add(False)


@cache
def size_of(codes: str) -> int:
    """Numbers there are: one more than the largest."""
    return 1 + max(tokenizer_of(codes).get_vocab(with_added_tokens=True).values())


def refuse(name: str, asked: Mapping[str, Any], reach: int) -> None:
    """ConfigError where the options of a text, {option: value}, ask for what a public model has no use for,
    or reads too little for."""
    if wrong := next((option for option in asked if option not in ("max", "hide")), None):
        raise ConfigError(
            f"'{name}': a public model has its own tokens, so {wrong}={asked[wrong]} has no meaning.\nOptions"
            " here: max, hide."
        )
    if (most := asked.get("max") or 0) > reach:
        raise ConfigError(
            f"'{name}': the public model reads {reach:,} tokens at most, max={most} asks for more.\nAsk for"
            " fewer."
        )


def learned_from(texts: Sequence[str], codes: str, most: int, reach: int) -> dict[str, Any]:
    """What the room of a text that is read learns. most: asked for, or 0; reach: what the model reads. One
    place stands before the tokens."""
    lengths = np.array(
        [len(tokens) for i in range(0, len(texts), 1024) for tokens in read(texts[i : i + 1024], codes)]
        or [0]
    )
    limit = max(1 + marks_of(codes), most or min(reach, int(lengths.max())))
    return {
        "kind": PUBLIC,
        "codes": codes,
        "most": limit + 1,
        "kept": limit + 1,
        "cut": float((lengths > limit).mean()),
    }


def read(texts: Sequence[str], codes: str, most: int | None = None) -> list[list[int]]:
    """Texts as the model reads them: its marks around them, cut between the marks."""
    return [found.ids for found in tokenizer_of(codes, most).encode_batch_fast(texts)]


def content(texts: Sequence[str], codes: str) -> list[list[int]]:
    """Texts without any mark."""
    return [found.ids for found in tokenizer_of(codes).encode_batch_fast(texts, add_special_tokens=False)]


def begun(texts: Sequence[str], codes: str) -> list[list[int]]:
    """Texts with the marks before them, as answers are learned; what ends an answer is another's to say."""
    found = []
    for encoded in tokenizer_of(codes).encode_batch_fast(texts):
        ends = len(encoded.ids)
        while ends and encoded.special_tokens_mask[ends - 1]:
            ends -= 1
        found.append(encoded.ids[:ends])
    return found


def decode_texts(rows: Iterable[Sequence[int]], codes: str) -> list[str]:
    """Texts from their tokens; marks say nothing."""
    return tokenizer_of(codes).decode_batch([list(row) for row in rows], skip_special_tokens=True)


@cache
def pieces_of(codes: str) -> tuple[bytes, ...]:
    """The bytes in utf-8 that each token stands for behind others; nothing for marks and for numbers that no
    token has."""
    record = json.loads(codes)
    marks = {one["content"] for one in record["added_tokens"] if one["special"]}
    whole = {one["content"] for one in record["added_tokens"]}
    decoders = [
        one["type"] for one in (record["decoder"] or {}).get("decoders", [record["decoder"] or {"type": ""}])
    ]
    letters = {letter: byte for byte, letter in letters_of_bytes().items()}
    found = [b""] * size_of(codes)
    for name, number in tokenizer_of(codes).get_vocab(with_added_tokens=True).items():
        if name in marks:
            continue
        if name in whole:
            found[number] = name.encode("utf-8")
        elif "ByteLevel" in decoders:
            found[number] = b"".join(
                bytes([letters[letter]]) if letter in letters else letter.encode("utf-8") for letter in name
            )
        elif "WordPiece" in decoders:
            found[number] = (name[2:] if name.startswith("##") else f" {name}").encode("utf-8")
        elif byte := BYTE.fullmatch(name):
            found[number] = bytes([int(byte[1], 16)])
        else:
            found[number] = name.replace("▁", " ").encode("utf-8")
    return tuple(found)


@cache
def letters_of_bytes() -> dict[int, str]:
    """How byte-level BPE writes each byte as a letter (Radford et al. 2019): printable ones as themselves,
    others from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}
