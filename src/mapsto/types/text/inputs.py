"""How a text left of the arrow is read: what differs between its readings, as `mapsto.types.text.targets` has it of texts right of the arrow.

Most read a text as token numbers and, behind these, as hashed runs of letters and words with their counts (`mapsto.types.text.ngrams`): no
vocabulary, so a word never seen still says something. How it is cut into tokens is then all they differ in. A new reading is a class here or in a
file of its own, and a line in READINGS. Letters: B batch, T tokens, N numbers of all texts, D width.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

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

if TYPE_CHECKING:
    from mapsto.types.text import Text

MOST_CHARACTERS = 20_000  # of a text that are read at all; said where any text is longer
SAMPLED = 5_000_000  # characters that buckets and rarities are counted on
WINDOWS = 8  # views of a long text at most
WORDS, PIECES, LETTERS = 20_000, 8_000, 5_000  # in a vocabulary, where nobody says otherwise


class Reading:
    """One way of reading, with what most do alike. room: the text's, whose options and learned fields it goes by."""

    name: ClassVar[str] = ""  # of its tokens, for people
    most: ClassVar[int] = 512  # tokens of a text, by default never more
    layout: ClassVar[Layout] = Layout("int32", (None,))

    # ---- what a reading is ----

    def learn(self, room: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        """What tells its tokens, as fields of the room. spec: as in `Text.fit`."""
        raise TypeError(f"{type(self).__name__} does not learn")

    def split(self, room: Text, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The token numbers of each text."""
        return [found.ids for found in tokenizer_of(room.codes).encode_batch_fast([plain(text) for text in texts])]

    def size(self, room: Text) -> int:
        """Token numbers there are, the special ones included."""
        return tokenizer_of(room.codes).get_vocab_size()

    # ---- what most do alike ----

    def fit(self, room: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> Any:
        """The room with its tokens, how many are read of a text, and how rare each run is. texts: of the training rows."""
        room, texts = described(room, texts)
        texts = spread(texts, LEARNED)
        room = replace(room, **self.learn(room, texts, spec))
        lengths = np.array([len(tokens) for i in range(0, len(texts), 1024) for tokens in self.split(room, texts[i : i + 1024])] or [0]) + 1
        most = room.max or int(min(self.most, np.ceil(np.quantile(lengths, spec.get("enough", 0.99)) / 8) * 8)) or 1
        room = replace(room, most=most, kept=most * (WINDOWS if room.long == "windows" else 1), cut=float((lengths > most).mean()))
        return replace(room, **_counted(room, texts)) if self.counts(room, spec) else room

    def counts(self, room: Text, spec: Mapping[str, Any]) -> bool:
        """Are runs counted beside the tokens?"""
        return spec.get("bag", True) if room.grams is None else room.grams

    def about(self, room: Text) -> str:
        return f"{self.name}, {self.size(room) - FIRST:,} known" + (f" with {_bag(room)}" if room.buckets else "")

    def encode(self, room: Text, values: Values) -> list[np.ndarray]:
        """int32 (n,) each: token numbers, then -(1 + 256 · bucket + count) of each counted run."""
        texts = ["" if value is None else cut(value, room.long) for value in values]
        tokens = [
            np.array([MISSING if value is None else START, *_shortened(found, room.kept - 1, room.long)], np.int32)
            for value, found in zip(values, self.split(room, texts), strict=True)
        ]
        if not room.buckets:
            return tokens
        bags = [bag for some in by_size(texts) for bag in _packed(room, some)]
        return [np.concatenate(pair) for pair in zip(tokens, bags, strict=True)]

    def steps(self, room: Text, arrays: Ragged) -> Tensor:
        """(B,): tokens that one pass through a net reads; the counted runs beside them are not padded."""
        return tokens_of(arrays)[1].clamp(max=room.most)

    def lengths(self, arrays: Ragged) -> Tensor:
        """(B,): how long encoded texts are to a person."""
        return tokens_of(arrays)[1]

    def numbers(self, flat: Tensor) -> Tensor:
        """(N,): a number for each part of encoded texts, by which texts are compared."""
        return flat

    def collate(self, room: Text, arrays: Ragged, draw: Draw | None) -> Padded:
        """Texts: int64 (B, T) tokens, 0 beyond the lengths, some hidden in training; bags with weights tf · idf of length 1."""
        token, lengths = tokens_of(arrays)
        flat = arrays.flat.numpy()  # whose masks are eight times as fast as torch's
        tokens = padded(torch.from_numpy(flat[token]).long(), lengths)
        if draw is not None:
            tokens = _disturbed(room, tokens, draw)
        bags = weighed(Ragged(torch.from_numpy(~flat[~token]), arrays.lengths - lengths), rarities_of(room.rarity)) if room.buckets else None
        return Texts(tokens.values, tokens.lengths, tokens.counts, bags)

    def stem(self, room: Text, width: int | None) -> nn.Module:
        if width is None:
            return PlainBag(self.size(room), room.buckets, upper=not room.words)
        return TextStem(self.size(room), room.buckets, width)


class Words(Reading):
    """Words and punctuation marks, in lower case."""

    name = "words"

    def learn(self, room: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        return {"codes": learn_tokenizer("words", texts, room.size or WORDS)}


class Pieces(Reading):
    """Byte-level BPE; of nets that read tokens alone as large as the texts allow."""

    name = "bpe"

    def learn(self, room: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        if spec.get("bag") is False:
            return {"codes": byte_pairs(spec.get("beside") or texts, room.size)}
        return {"codes": learn_tokenizer("bpe", texts, room.size or PIECES)}


class Letters(Reading):
    """Characters."""

    name = "char"
    most = 1024

    def learn(self, room: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        return {"alphabet": alphabet_of(texts, room.size or LETTERS)}

    def split(self, room: Text, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [characters(text, room.alphabet) for text in texts]

    def size(self, room: Text) -> int:
        return FIRST + len(room.alphabet)


class Runs(Reading):
    """No tokens: counted runs alone."""

    most = 0

    def learn(self, room: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
        if room.grams is False:
            raise ConfigError(
                f"'{spec.get('name', 'text')}': without counted runs (grams=false) nothing is left to read here.\n"
                "Leave grams out, or choose a model of sequences: --model textcnn."
            )
        return {}

    def counts(self, room: Text, spec: Mapping[str, Any]) -> bool:
        return True

    def split(self, room: Text, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [()] * len(texts)

    def size(self, room: Text) -> int:
        return FIRST

    def about(self, room: Text) -> str:
        return _bag(room)

    def lengths(self, arrays: Ragged) -> Tensor:
        return arrays.lengths

    def stem(self, room: Text, width: int | None) -> nn.Module:
        return super().stem(room, None) if width is None else TextStem(None, room.buckets, width)


class Public(Reading):
    """A public model's own tokens (`mapsto.types.text.pretrained`), behind the special ones."""

    name = "the public model's own tokens"

    def fit(self, room: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> Any:
        room, texts = described(room, texts)
        return replace(room, **pretrained.learned_from([plain(text) for text in texts], spec["codes"], room.max or 0, spec["reach"]))

    def split(self, room: Text, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [[token + FIRST for token in found] for found in pretrained.read([plain(text) for text in texts], room.codes, room.kept - 1)]

    def size(self, room: Text) -> int:
        return FIRST + pretrained.size_of(room.codes)


class Apart(Reading):
    """Word by word (`mapsto.types.text.words`), as models want it that say something of each."""

    layout = Layout("int32", (None, words.WIDTH))

    def fit(self, room: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> Any:
        asked = [key for key in ("grams", "max") if getattr(room, key) is not None] + ["long"] * (room.long != "start")
        asked += [f"tokenizer={room.tokenizer}"] * (room.tokenizer not in (None, "words"))
        if asked:
            raise ConfigError(
                f"'{spec.get('name', 'text')}': this model reads a text word by word, so {asked[0]} has no meaning.\n"
                "Leave it out; options here: size, hide."
            )
        return replace(room, alphabet=words.learn(texts, room.size or WORDS), words=0)

    def size(self, room: Text) -> int:
        return FIRST + len(words.numbers_of(room.alphabet))

    def about(self, room: Text) -> str:
        return f"words, {self.size(room) - FIRST:,} known, each with its letters"

    def encode(self, room: Text, values: Values) -> list[np.ndarray]:
        return [words.encoded(value, room.alphabet) for value in values]

    def steps(self, room: Text, arrays: Ragged) -> Tensor:
        return arrays.lengths

    def lengths(self, arrays: Ragged) -> Tensor:
        return arrays.lengths

    def numbers(self, flat: Tensor) -> Tensor:
        return words.numbers(flat)

    def collate(self, room: Text, arrays: Ragged, draw: Draw | None) -> Padded:
        return words.collated(arrays, draw, room.hide or 0.0)

    def stem(self, room: Text, width: int | None) -> nn.Module:
        return words.WordBag() if width is None else words.WordStem(room.alphabet, width)


READINGS: Mapping[str, Reading] = {  # by the `kind` of a text's room
    "words": Words(),
    "bpe": Pieces(),
    "char": Letters(),
    "ngrams": Runs(),
    PUBLIC: Public(),
    "apart": Apart(),
}


def kind_of(room: Text, texts: Sequence[str], spec: Mapping[str, Any]) -> str:
    """How texts are read: as the model must, else as was asked, else as the model likes it, else by what they are."""
    if must := "apart" if spec.get("apart") else PUBLIC if "codes" in spec else None:
        return must
    likes = "ngrams" if spec.get("fixed") else spec.get("tokenizer")
    return room.tokenizer or likes or ("char" if unspaced([cut(text, room.long) for text in texts]) else "words")


def unspaced(texts: Sequence[str]) -> bool:
    """Are they long and without spaces, as molecules are?"""
    return sum(len(text.split()) for text in texts) < 1.1 * len(texts) and sum(map(len, texts)) >= 8 * len(texts)


def described(room: Text, texts: Sequence[str]) -> tuple[Text, list[str]]:
    """(a room that can say what kind of texts they are, what is read of each)."""
    over = sum(len(text) > MOST_CHARACTERS for text in texts) / max(1, len(texts))
    texts = [cut(text, room.long) for text in texts]
    distinct = len(set(texts))
    few = distinct <= min(20, len(texts) // 2)
    aligned = len({len(text) for text in texts}) == 1 < len(texts)
    paths = sum(is_path(text) and "/" in text for text in texts) > 0.9 * len(texts) > 0
    runs = 0 if unspaced(texts) else 2
    return replace(room, words=runs, cut=0.0, distinct=distinct if few else 0, over=over, aligned=aligned, paths=paths), texts


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


def _counted(room: Text, texts: Sequence[str]) -> dict[str, Any]:
    """As many buckets as the training texts fill, and how rare each is."""
    texts = spread(texts, SAMPLED)
    wide = filled(texts, 1 << 20, room.longest, room.words)
    buckets = 1 << int(np.clip(np.ceil(np.log2(max(wide, 1))), 10, 17))
    found = frequencies(texts, buckets, room.longest, room.words)
    level = np.clip(np.round(16 * np.log2((1 + len(texts)) / (1 + found))), 0, 255).astype(np.uint8)
    return {"buckets": buckets, "rarity": base64.b64encode(zlib.compress(level.tobytes(), 9)).decode()}


def _packed(room: Text, texts: Sequence[str]) -> list[np.ndarray]:
    """The packed bag of each of some texts."""
    text, bucket, count = grams(texts, room.buckets, room.longest, room.words)
    packed = ~(bucket << COUNT_BITS | np.minimum(count, MOST_COUNT)).astype(np.int32)
    return np.split(packed, np.searchsorted(text, np.arange(1, len(texts))))


def _bag(room: Text) -> str:
    return f"counted runs of letters{' and words' if room.words else ''} in {room.buckets:,} buckets"


def _disturbed(room: Text, tokens: Padded, draw: Draw) -> Padded:
    """Training: one random window of a long text, and `hide` of the tokens unknown; the first token stays."""
    if room.long == "windows" and tokens.values.shape[1] > room.most:
        free = (tokens.lengths - room.most).clamp(min=0)
        tokens = window(tokens, (draw.uniform("text window", 1)[:, 0].to(free.device) * (free + 1)).long(), room.most)
        tokens = replace(tokens, counts=tuple(tokens.lengths.tolist()))
    if not room.hide:
        return tokens
    longest = tokens.values.shape[1]  # in the name: other texts of the row have other lengths
    hidden = draw.uniform(f"hidden of {longest} tokens", longest).to(tokens.values.device) < room.hide
    hidden[:, 0] = False
    return Padded(torch.where(hidden & tokens.mask, UNKNOWN, tokens.values), tokens.lengths, tokens.counts)
