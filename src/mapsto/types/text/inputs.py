"""How a text left of the arrow is read: what differs between its readings, as `mapsto.types.text.targets` has
it of texts right of the arrow.

Most read a text as token numbers and, behind these, as hashed runs of letters and words with their counts
(`mapsto.types.text.ngrams`): no vocabulary, so a word never seen still says something. How it is cut into
tokens is then all they differ in. A new reading is a class here or in a file of its own, and a line in
READINGS. Letters: B batch, T tokens, N numbers of all texts, D width.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Draw, Padded, Ragged
from mapsto.errors import ConfigError
from mapsto.types.base import Layout
from mapsto.types.text import pretrained, words
from mapsto.types.text.ngrams import filled, frequencies, grams, spread
from mapsto.types.text.pretrained import PUBLIC
from mapsto.types.text.stems import (
    COUNT_BITS,
    MOST_COUNT,
    PlainBag,
    Texts,
    TextStem,
    by_size,
    is_path,
    padded,
    rarities_of,
    tokens_of,
    weighed,
    window,
)
from mapsto.types.text.targets import Values
from mapsto.types.text.tokenizers import (
    FIRST,
    LEARNED,
    MISSING,
    START,
    UNKNOWN,
    alphabet_of,
    byte_pairs,
    characters,
    learn_tokenizer,
    plain,
    tokenizer_of,
)

MOST_CHARACTERS = 20_000  # of a text that are read at all; said where any text is longer
SAMPLED = 5_000_000  # characters that buckets and rarities are counted on
WINDOWS = 8  # views of a long text at most
WORDS, PIECES, LETTERS = 20_000, 8_000, 5_000  # in a vocabulary, where nobody says otherwise


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


class TextInput:
    """One way of reading, with what most do alike. room: the text's, whose options and learned fields it goes
    by."""

    name: ClassVar[str] = ""  # of its tokens, for people
    most: ClassVar[int] = 512  # tokens of a text, by default never more
    layout: ClassVar[Layout] = Layout("int32", (None,))

    # ---- what a reading is ----

    def learn(self, column_type: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        """What tells its tokens, as fields of the room. spec: as in `Text.fit`."""
        raise TypeError(f"{type(self).__name__} does not learn")

    def split(self, column_type: Text, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The token numbers of each text."""
        return [
            found.ids
            for found in tokenizer_of(column_type.codes).encode_batch_fast([plain(text) for text in texts])
        ]

    def size(self, column_type: Text) -> int:
        """Token numbers there are, the special ones included."""
        return tokenizer_of(column_type.codes).get_vocab_size()

    # ---- what most do alike ----

    def fit(self, column_type: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> Any:
        """The room with its tokens, how many are read of a text, and how rare each run is. texts: of the
        training rows."""
        column_type, texts = described(column_type, texts)
        texts = spread(texts, LEARNED)
        column_type = replace(column_type, **self.learn(column_type, texts, spec))
        lengths = (
            np.array(
                [
                    len(tokens)
                    for i in range(0, len(texts), 1024)
                    for tokens in self.split(column_type, texts[i : i + 1024])
                ]
                or [0]
            )
            + 1
        )
        most = (
            column_type.max
            or int(min(self.most, np.ceil(np.quantile(lengths, spec.get("enough", 0.99)) / 8) * 8))
            or 1
        )
        column_type = replace(
            column_type,
            most=most,
            kept=most * (WINDOWS if column_type.long == "windows" else 1),
            cut=float((lengths > most).mean()),
        )
        return (
            replace(column_type, **_counted(column_type, texts))
            if self.counts(column_type, spec)
            else column_type
        )

    def counts(self, column_type: Text, spec: Mapping[str, Any]) -> bool:
        """Are runs counted beside the tokens?"""
        return spec.get("bag", True) if column_type.grams is None else column_type.grams

    def about(self, column_type: Text) -> str:
        return f"{self.name}, {self.size(column_type) - FIRST:,} known" + (
            f" with {_bag(column_type)}" if column_type.buckets else ""
        )

    def encode(self, column_type: Text, values: Values) -> list[np.ndarray]:
        """int32 (n,) each: token numbers, then -(1 + 256 · bucket + count) of each counted run."""
        texts = ["" if value is None else cut(value, column_type.long) for value in values]
        tokens = [
            np.array(
                [
                    MISSING if value is None else START,
                    *_shortened(found, column_type.kept - 1, column_type.long),
                ],
                np.int32,
            )
            for value, found in zip(values, self.split(column_type, texts), strict=True)
        ]
        if not column_type.buckets:
            return tokens
        bags = [bag for some in by_size(texts) for bag in _packed(column_type, some)]
        return [np.concatenate(pair) for pair in zip(tokens, bags, strict=True)]

    def steps(self, column_type: Text, arrays: Ragged) -> Tensor:
        """(B,): tokens that one pass through a net reads; the counted runs beside them are not padded."""
        return tokens_of(arrays)[1].clamp(max=column_type.most)

    def lengths(self, arrays: Ragged) -> Tensor:
        """(B,): how long encoded texts are to a person."""
        return tokens_of(arrays)[1]

    def numbers(self, flat: Tensor) -> Tensor:
        """(N,): a number for each part of encoded texts, by which texts are compared."""
        return flat

    def collate(self, column_type: Text, arrays: Ragged, draw: Draw | None) -> Padded:
        """Texts: int64 (B, T) tokens, 0 beyond the lengths, some hidden in training; bags with weights tf ·
        idf of length 1."""
        token, lengths = tokens_of(arrays)
        flat = arrays.flat.numpy()  # whose masks are eight times as fast as torch's
        tokens = padded(torch.from_numpy(flat[token]).long(), lengths)
        if draw is not None:
            tokens = _disturbed(column_type, tokens, draw)
        bags = (
            weighed(
                Ragged(torch.from_numpy(~flat[~token]), arrays.lengths - lengths),
                rarities_of(column_type.rarity),
            )
            if column_type.buckets
            else None
        )
        return Texts(tokens.values, tokens.lengths, tokens.counts, bags)

    def stem(self, column_type: Text, width: int | None) -> nn.Module:
        if width is None:
            return PlainBag(self.size(column_type), column_type.buckets, upper=not column_type.words)
        return TextStem(self.size(column_type), column_type.buckets, width)


class Words(TextInput):
    """Words and punctuation marks, in lower case."""

    name = "words"

    def learn(self, column_type: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        return {"codes": learn_tokenizer("words", texts, column_type.size or WORDS)}


class Pieces(TextInput):
    """Byte-level BPE; of nets that read tokens alone as large as the texts allow."""

    name = "bpe"

    def learn(self, column_type: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        if spec.get("bag") is False:
            return {"codes": byte_pairs(spec.get("beside") or texts, column_type.size)}
        return {"codes": learn_tokenizer("bpe", texts, column_type.size or PIECES)}


class Letters(TextInput):
    """Characters."""

    name = "char"
    most = 1024

    def learn(self, column_type: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        return {"alphabet": alphabet_of(texts, column_type.size or LETTERS)}

    def split(self, column_type: Text, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [characters(text, column_type.alphabet) for text in texts]

    def size(self, column_type: Text) -> int:
        return FIRST + len(column_type.alphabet)


class Runs(TextInput):
    """No tokens: counted runs alone."""

    most = 0

    def learn(self, column_type: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        if column_type.grams is False:
            raise ConfigError(
                f"'{spec.get('name', 'text')}': without counted runs (grams=false) nothing is left to read"
                " here.\nLeave grams out, or choose a model of sequences: --model textcnn."
            )
        return {}

    def counts(self, column_type: Text, spec: Mapping[str, Any]) -> bool:
        return True

    def split(self, column_type: Text, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [()] * len(texts)

    def size(self, column_type: Text) -> int:
        return FIRST

    def about(self, column_type: Text) -> str:
        return _bag(column_type)

    def lengths(self, arrays: Ragged) -> Tensor:
        return arrays.lengths

    def stem(self, column_type: Text, width: int | None) -> nn.Module:
        return (
            super().stem(column_type, None) if width is None else TextStem(None, column_type.buckets, width)
        )


class Public(TextInput):
    """A public model's own tokens (`mapsto.types.text.pretrained`), behind the special ones."""

    name = "the public model's own tokens"

    def fit(self, column_type: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> Any:
        column_type, texts = described(column_type, texts)
        return replace(
            column_type,
            **pretrained.learned_from(
                [plain(text) for text in texts], spec["codes"], column_type.max or 0, spec["reach"]
            ),
        )

    def split(self, column_type: Text, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [
            [token + FIRST for token in found]
            for found in pretrained.read(
                [plain(text) for text in texts], column_type.codes, column_type.kept - 1
            )
        ]

    def size(self, column_type: Text) -> int:
        return FIRST + pretrained.size_of(column_type.codes)


class Apart(TextInput):
    """Word by word (`mapsto.types.text.words`), as models want it that say something of each."""

    layout = Layout("int32", (None, words.WIDTH))

    def fit(self, column_type: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> Any:
        asked = [key for key in ("grams", "max") if getattr(column_type, key) is not None] + ["long"] * (
            column_type.long != "start"
        )
        asked += [f"tokenizer={column_type.tokenizer}"] * (column_type.tokenizer not in (None, "words"))
        if asked:
            raise ConfigError(
                f"'{spec.get('name', 'text')}': this model reads a text word by word, so {asked[0]} has no"
                " meaning.\nLeave it out; options here: size, hide."
            )
        return replace(column_type, alphabet=words.learn(texts, column_type.size or WORDS), words=0)

    def size(self, column_type: Text) -> int:
        return FIRST + len(words.numbers_of(column_type.alphabet))

    def about(self, column_type: Text) -> str:
        return f"words, {self.size(column_type) - FIRST:,} known, each with its letters"

    def encode(self, column_type: Text, values: Values) -> list[np.ndarray]:
        return [words.encoded(value, column_type.alphabet) for value in values]

    def steps(self, column_type: Text, arrays: Ragged) -> Tensor:
        return arrays.lengths

    def lengths(self, arrays: Ragged) -> Tensor:
        return arrays.lengths

    def numbers(self, flat: Tensor) -> Tensor:
        return words.numbers(flat)

    def collate(self, column_type: Text, arrays: Ragged, draw: Draw | None) -> Padded:
        return words.collated(arrays, draw, column_type.hide or 0.0)

    def stem(self, column_type: Text, width: int | None) -> nn.Module:
        return words.WordBag() if width is None else words.WordStem(column_type.alphabet, width)


TEXT_INPUTS: Mapping[str, TextInput] = {  # by the `kind` of a text's room
    "words": Words(),
    "bpe": Pieces(),
    "char": Letters(),
    "ngrams": Runs(),
    PUBLIC: Public(),
    "apart": Apart(),
}


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


def _shortened(tokens: Sequence[int], most: int, long: str) -> Sequence[int]:
    """What is stored of a text's tokens."""
    if len(tokens) <= most:
        return tokens
    if long == "ends":
        return [*tokens[: most // 2], *tokens[len(tokens) - (most - most // 2) :]]
    return tokens[:most]


def _counted(column_type: Text, texts: Sequence[str]) -> dict[str, Any]:
    """As many buckets as the training texts fill, and how rare each is."""
    texts = spread(texts, SAMPLED)
    wide = filled(texts, 1 << 20, column_type.longest, column_type.words)
    buckets = 1 << int(np.clip(np.ceil(np.log2(max(wide, 1))), 10, 17))
    found = frequencies(texts, buckets, column_type.longest, column_type.words)
    level = np.clip(np.round(16 * np.log2((1 + len(texts)) / (1 + found))), 0, 255).astype(np.uint8)
    return {"buckets": buckets, "rarity": base64.b64encode(zlib.compress(level.tobytes(), 9)).decode()}


def _packed(column_type: Text, texts: Sequence[str]) -> list[np.ndarray]:
    """The packed bag of each of some texts."""
    text, bucket, count = grams(texts, column_type.buckets, column_type.longest, column_type.words)
    packed = ~(bucket << COUNT_BITS | np.minimum(count, MOST_COUNT)).astype(np.int32)
    return np.split(packed, np.searchsorted(text, np.arange(1, len(texts))))


def _bag(column_type: Text) -> str:
    return (
        f"counted runs of letters{' and words' if column_type.words else ''} in {column_type.buckets:,}"
        " buckets"
    )


def _disturbed(column_type: Text, tokens: Padded, draw: Draw) -> Padded:
    """Training: one random window of a long text, and `hide` of the tokens unknown; the first token stays."""
    if column_type.long == "windows" and tokens.values.shape[1] > column_type.most:
        free = (tokens.lengths - column_type.most).clamp(min=0)
        tokens = window(
            tokens,
            (draw.uniform("text window", 1)[:, 0].to(free.device) * (free + 1)).long(),
            column_type.most,
        )
        tokens = replace(tokens, counts=tuple(tokens.lengths.tolist()))
    if not column_type.hide:
        return tokens
    longest = tokens.values.shape[1]  # in the name: other texts of the row have other lengths
    hidden = draw.uniform(f"hidden of {longest} tokens", longest).to(tokens.values.device) < column_type.hide
    hidden[:, 0] = False
    return Padded(torch.where(hidden & tokens.mask, UNKNOWN, tokens.values), tokens.lengths, tokens.counts)
