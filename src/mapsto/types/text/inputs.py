"""How a text left of the arrow is read: what differs between its readings, as `mapsto.types.text.targets` has
it of texts right of the arrow.

Most read a text as token numbers and, behind these, as hashed runs of letters and words with their counts
(`mapsto.types.text.ngrams`): no vocabulary, so a word never seen still says something. How it is cut into
tokens is then all they differ in. A new reading is a class here or in a file of its own, and a line in
READINGS. Letters: B batch, T tokens, N numbers of all texts, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mapsto.errors import ConfigError
from mapsto.lazy import torch
from mapsto.types.base import Layout
from mapsto.types.text import pretrained, words
from mapsto.types.text._copied import may_be_copied
from mapsto.types.text._reading import (
    WINDOWS,
    Text,
    about_bag,
    by_size,
    counted,
    cut,
    described,
    packed,
    shortened,
)
from mapsto.types.text.ngrams import spread
from mapsto.types.text.pretrained import PUBLIC
from mapsto.types.text.targets import Values
from mapsto.types.text.tokenizers import (
    FIRST,
    LEARNED,
    MISSING,
    START,
    alphabet_of,
    byte_pairs,
    characters,
    learn_tokenizer,
    plain,
    tokenizer_of,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mapsto.batch import Draw, Padded, Ragged

PLACED = 1 << 15  # places times tokens, up to which a linear model has a weight for each
WORDS, PIECES, LETTERS = 20_000, 8_000, 5_000  # in a vocabulary, where nobody says otherwise


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
            replace(column_type, **counted(column_type, texts))
            if self.counts(column_type, spec)
            else column_type
        )

    def counts(self, column_type: Text, spec: Mapping[str, Any]) -> bool:
        """Are runs counted beside the tokens?"""
        return spec.get("bag", True) if column_type.grams is None else column_type.grams

    def about(self, column_type: Text) -> str:
        return f"{self.name}, {self.size(column_type) - FIRST:,} known" + (
            f" with {about_bag(column_type)}" if column_type.buckets else ""
        )

    def encode(self, column_type: Text, values: Values) -> list[np.ndarray]:
        """int32 (n,) each: token numbers, then -(1 + 256 · bucket + count) of each counted run."""
        texts = ["" if value is None else cut(value, column_type.long) for value in values]
        tokens = [
            np.array(
                [
                    MISSING if value is None else START,
                    *shortened(found, column_type.kept - 1, column_type.long),
                ],
                np.int32,
            )
            for value, found in zip(values, self.split(column_type, texts), strict=True)
        ]
        if not column_type.buckets:
            return tokens
        bags = [bag for some in by_size(texts) for bag in packed(column_type, some)]
        return [np.concatenate(pair) for pair in zip(tokens, bags, strict=True)]

    def steps(self, column_type: Text, arrays: Ragged) -> Tensor:
        """(B,): tokens that one pass through a net reads; the counted runs beside them are not padded."""
        from mapsto.types.text.stems import tokens_of

        return tokens_of(arrays)[1].clamp(max=column_type.most)

    def lengths(self, column_type: Text, arrays: Ragged) -> Tensor:
        """(B,): how long encoded texts are to a person."""
        from mapsto.types.text.stems import tokens_of

        return tokens_of(arrays)[1]

    def numbers(self, flat: Tensor) -> Tensor:
        """(N,): a number for each part of encoded texts, by which texts are compared."""
        return flat

    def similarity_embedding(self, column_type: Text, arrays: Ragged) -> np.ndarray:
        """(B, MARKS): counted runs (or tokens), hashed with random signs, which keeps cosines (Weinberger et
        al. 2009)."""
        from mapsto.types.text.stems import hashed_marks

        return hashed_marks(self.numbers(arrays.flat).long(), arrays, column_type.buckets > 0).numpy()

    def collate(self, column_type: Text, arrays: Ragged, draw: Draw | None) -> Padded:
        """Texts: int64 (B, T) tokens, 0 beyond the lengths, some hidden in training; bags with weights tf ·
        idf of length 1."""
        from mapsto.batch import Ragged
        from mapsto.types.text.stems import Texts, disturbed, padded, rarities_of, tokens_of, weighed

        token, lengths = tokens_of(arrays)
        flat = arrays.flat.numpy()  # whose masks are eight times as fast as torch's
        tokens = padded(torch.from_numpy(flat[token]).long(), lengths)
        if draw is not None:
            tokens = disturbed(column_type, tokens, draw)
        bags = (
            weighed(
                Ragged(torch.from_numpy(~flat[~token]), arrays.lengths - lengths),
                rarities_of(column_type.rarity),
            )
            if column_type.buckets
            else None
        )
        return Texts(tokens.values, tokens.lengths, tokens.counts, bags)

    def graph_inputs(self, column_type: Text, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """ "tokens" (B, T) with "lengths" (B,), and packed "runs" (B, G) where they are counted; 0 behind
        each text's end."""
        from mapsto.types._graph import padded_cells

        tokens = [cell[cell >= 0] for cell in arrays]
        found = {
            "tokens": padded_cells(tokens, np.int32),
            "lengths": np.array([len(cell) for cell in tokens], np.int64),
        }
        if column_type.buckets:
            found["runs"] = padded_cells([cell[cell < 0] for cell in arrays], np.int32)
        return found

    def from_graph(self, column_type: Text, tensors: Mapping[str, Tensor]) -> Padded:
        from mapsto.types.text.stems import Texts, dense_bags, rarities_of

        runs = tensors.get("runs")
        bags = None if runs is None else dense_bags(runs, rarities_of(column_type.rarity))
        return Texts(tensors["tokens"].long(), tensors["lengths"], bags=bags)

    def stem(self, column_type: Text, width: int | None) -> nn.Module:
        from mapsto.types.text.stems import PlacedBag, PlainBag, TextStem

        if width is None:
            upper, size = not column_type.words, self.size(column_type)
            if column_type.aligned and 0 < column_type.most * size <= PLACED:
                return PlacedBag(size, column_type.buckets, upper, column_type.most)
            return PlainBag(size, column_type.buckets, upper)
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
            copied = may_be_copied(spec.get("copy", False), spec.get("pairs", list))
            return {"codes": byte_pairs(spec.get("beside") or texts, column_type.size, blank=copied)}
        return {"codes": learn_tokenizer("bpe", texts, column_type.size or PIECES)}

    def lengths(self, column_type: Text, arrays: Ragged) -> Tensor:
        """In bytes: of the texts that they were learned from pieces are longer than of others."""
        from mapsto.types.text.stems import bytes_of

        return bytes_of(arrays, column_type.codes)


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
        return about_bag(column_type)

    def lengths(self, column_type: Text, arrays: Ragged) -> Tensor:
        return arrays.lengths

    def stem(self, column_type: Text, width: int | None) -> nn.Module:
        from mapsto.types.text.stems import TextStem

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

    def lengths(self, column_type: Text, arrays: Ragged) -> Tensor:
        return arrays.lengths

    def numbers(self, flat: Tensor) -> Tensor:
        return words.numbers(flat)

    def graph_inputs(self, column_type: Text, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        from mapsto.types._graph import cells_of

        return cells_of(arrays, self.layout)

    def from_graph(self, column_type: Text, tensors: Mapping[str, Tensor]) -> Padded:
        from mapsto.batch import Padded

        return Padded(tensors["cells"].long(), tensors["lengths"])

    def collate(self, column_type: Text, arrays: Ragged, draw: Draw | None) -> Padded:
        from mapsto.types.text.word_stems import collated

        return collated(arrays, draw, column_type.hide or 0.0)

    def stem(self, column_type: Text, width: int | None) -> nn.Module:
        from mapsto.types.text.word_stems import WordBag, WordStem

        return WordBag() if width is None else WordStem(column_type.alphabet, width)


TEXT_INPUTS: Mapping[str, TextInput] = {  # by the `kind` of a text's room
    "words": Words(),
    "bpe": Pieces(),
    "char": Letters(),
    "ngrams": Runs(),
    PUBLIC: Public(),
    "apart": Apart(),
}
