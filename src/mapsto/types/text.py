"""Texts in any language and script, sentences, documents, DNA, molecules: tokens in order, and a bag of counted runs beside them.

A read value is the text as it stands. It is encoded as token numbers (words, byte-level BPE or characters, learned from training rows)
followed by hashed runs of letters and words with their counts (`mapsto.ngrams`): no vocabulary, so a word never seen still says
something. The stem gives tokens; the first of them is the bag. Right of the arrow a text is tokens alone (`mapsto.next_token`).
Letters: B batch, T tokens, G counted runs, D width, V vocabulary.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from mapsto import public_tokens, references, words
from mapsto.batch import Batch, Draw, Padded, Ragged
from mapsto.blocks import Item
from mapsto.cells import Blob, Column, Continued, is_missing, shorten, sound
from mapsto.config import setting
from mapsto.ctc import HEARD
from mapsto.disturb import mistyped, pieces_of, words_disturbed
from mapsto.errors import CellError, ConfigError, DataError
from mapsto.metrics import Metric
from mapsto.next_token import STREAM
from mapsto.ngrams import filled, frequencies, grams, spread
from mapsto.public_tokens import PUBLIC
from mapsto.sequences import WHOLE
from mapsto.texts import COUNT_BITS, MOST_COUNT, PlainBag, Texts, TextStem, by_size, is_path, padded, prose_share, rarities_of, tokens_of, weighed
from mapsto.tokens import FIRST, LEARNED, MISSING, START, UNKNOWN, alphabet_of, byte_pairs, characters, learn_tokenizer, plain, tokenizer_of
from mapsto.types.base import MISSING_CELLS, SHARES, DataType, Head, Layout, Simple, learned, options_given, quarters
from mapsto.words import text_of
from mapsto.writing import Writing, too_long

MOST_CHARACTERS = 20_000  # of a text that are read at all; said where any text is longer
MOST_TOKENS = {"words": 512, "bpe": 512, "char": 1024, "ngrams": 0}  # the default never grows beyond
VOCABULARY = {"words": 20_000, "bpe": 8_000, "char": 5_000, "ngrams": 0}
SAMPLED = 5_000_000  # and that buckets and rarities are counted on
MARKS, FEWEST_RUNS = 512, 30  # places that runs are hashed into to compare texts; runs below which a text is too short to be like another
WINDOWS = 8  # views of a long text at most
WRITINGS: Mapping[str, Writing] = {"tokens": STREAM, "sequence": WHOLE, "ctc": HEARD}  # how a text right of the arrow is written, by kind of head
TYPING = "typing errors, share of characters"
DROPPED = "words dropped, share"
CASE = "upper case, share of words"


@dataclass(frozen=True)
class Text(DataType):
    """A text. Stored: int32 (n,): token numbers, then -(1 + 256 · bucket + count) of each counted run."""

    modality: ClassVar[str] = "text"
    prose: ClassVar[bool] = True
    placeholder: ClassVar[Any] = "some text"
    head_kinds: ClassVar[tuple[str, ...]] = tuple(WRITINGS)
    reading: ClassVar[tuple[str, ...]] = ("kind", "codes", "alphabet", "buckets", "words", "longest", "kept", "long", "answer")

    tokenizer: str | None = setting(
        None, "what a token is; default: words, or char where texts have no spaces", choices=("words", "bpe", "char", "ngrams")
    )
    grams: bool | None = setting(None, "count runs of letters and words beside the tokens; default: yes")
    max: int | None = setting(
        None, "tokens read of a text; default: enough for 99 of 100 training texts, within limits; right of the arrow: tokens a block holds", above=0
    )
    long: str = setting("start", "of longer texts, read the start, both ends, or windows all over it", choices=("start", "ends", "windows"))
    size: int | None = setting(None, "tokens in the vocabulary; default: 20,000 words, 8,000 pieces, fewer to learn a short text", above=8)
    hide: float | None = setting(None, "share of tokens hidden in training; default: the recipe decides", above=-1e-9, below=1)
    kind: str = learned("")
    codes: str = learned("")  # the tokenizer of words and bpe, in the `tokenizers` library's own JSON
    alphabet: str = learned("")  # of char, in order of code points
    most: int = learned(0)  # tokens of a text that one pass through a net reads
    kept: int = learned(0)  # tokens of a text that are stored
    writes: int = learned(0)  # right of the arrow: tokens an answer is given at most
    buckets: int = learned(0)
    words: int = learned(2)  # longest run of words counted
    longest: int = learned(5)  # and of characters
    rarity: str = learned("")  # per bucket: how rare, see `rarities_of`
    aligned: bool = learned(False)  # are all training texts of one length, so that places may mean something?
    cut: float = learned(0.0)  # share of training texts longer than `most`
    distinct: int = learned(0)  # different texts in the sample, when few
    over: float = learned(0.0)  # share of training texts of more than MOST_CHARACTERS
    paths: bool = learned(False)  # do they look like names of files?
    running: bool = learned(False)  # are texts cut from one that goes on?
    answer: str = learned("")  # right of the arrow: the kind of head that it is written for. `most` tokens are then learned at once

    @classmethod
    def sniff(cls, column: Column) -> float:
        """Prose .82: several words a cell that recur in others, cells that mostly differ. Long sequences without spaces over a small
        alphabet, or of many lengths (molecules), .75. Ids, names of files and words that repeat are not texts; among texts something
        else may stand now and then, such as a number."""
        return prose_share(column.known)

    def read(self, cell: Any) -> str | None:
        """The text as it stands; numbers as they are written. Bytes and files are utf-8. Nothing but blanks is missing: csv cannot tell."""
        if isinstance(cell, Continued):
            return Continued(sound(cell))
        if isinstance(cell, np.generic):
            cell = cell.item()
        if isinstance(cell, (str, bytes, Blob, int, float, list, tuple)) or is_missing(cell) or getattr(cell, "ndim", 0) == 1:
            return text_of(cell)
        raise CellError(f"expected a text, got {type(cell).__name__} {shorten(cell)}.\nGive text, or leave the column out.")

    def fit(self, values: Sequence[str | None], spec: Mapping[str, Any]) -> Self:
        """Tokens, lengths and rarities of training texts. spec: "tokenizer" a model's own; "fixed": it takes a fixed number of
        tokens, so only the bag; "bag" False: it reads tokens alone; "enough": the share of training texts that are read whole (.99);
        "beside": texts to learn tokens from in place of its own; "codes" and "reach": a public model's own tokens, and how many it reads;
        "kind": right of the arrow, the kind of head."""
        if "codes" in spec:
            public_tokens.refuse(str(spec.get("name", "text")), options_given(self), spec["reach"])
        if spec.get("side") == "output":
            return self._fit_answer(values, spec)
        if spec.get("apart"):
            return self._fit_apart([value for value in values if value is not None], str(spec.get("name", "text")))
        texts = [self._cut(value) for value in values if value is not None]
        unspaced = sum(len(text.split()) for text in texts) < 1.1 * len(texts) and sum(map(len, texts)) >= 8 * len(texts)
        kind = self.tokenizer or ("ngrams" if spec.get("fixed") else spec.get("tokenizer")) or ("char" if unspaced else "words")
        if kind == "ngrams" and self.grams is False:
            raise ConfigError(
                f"'{spec.get('name', 'text')}': without counted runs (grams=false) nothing is left to read here.\n"
                "Leave grams out, or choose a model of sequences: --model textcnn."
            )
        few = len(set(texts)) <= min(20, len(texts) // 2)
        room = replace(self, kind=kind, words=0 if unspaced else 2, cut=0.0, distinct=len(set(texts)) if few else 0)
        room = replace(room, over=sum(value is not None and len(value) > MOST_CHARACTERS for value in values) / max(1, len(texts)))
        room = replace(room, aligned=len({len(text) for text in texts}) == 1 < len(texts))
        room = replace(room, paths=sum(is_path(text) and "/" in text for text in texts) > 0.9 * len(texts) > 0)
        if "codes" in spec:
            return replace(room, **public_tokens.learned_from([plain(text) for text in texts], spec["codes"], self.max or 0, spec["reach"]))
        texts, size = spread(texts, LEARNED), self.size or VOCABULARY[kind]
        if kind == "char":
            room = replace(room, alphabet=alphabet_of(texts, size))
        elif kind != "ngrams":
            whole = kind == "bpe" and spec.get("bag") is False
            room = replace(room, codes=byte_pairs(spec.get("beside") or texts, self.size) if whole else learn_tokenizer(kind, texts, size))
        lengths = np.array([len(tokens) for i in range(0, len(texts), 1024) for tokens in room._tokens(texts[i : i + 1024])] or [0]) + 1
        most = self.max or int(min(MOST_TOKENS[kind], np.ceil(np.quantile(lengths, spec.get("enough", 0.99)) / 8) * 8)) or 1
        room = replace(room, most=most, kept=most * (WINDOWS if self.long == "windows" else 1), cut=float((lengths > most).mean()))
        bagged = kind == "ngrams" or (spec.get("bag", True) if self.grams is None else self.grams)
        return room._count(texts) if bagged else room

    def _fit_answer(self, values: Sequence[str | None], spec: Mapping[str, Any]) -> Self:
        name, kind = str(spec.get("name", "text")), str(spec.get("kind", self.head_kinds[0]))
        asked = {key: getattr(self, key) for key in ("grams", "hide") if getattr(self, key) is not None}
        if self.tokenizer in ("words", "ngrams") or self.long != "start" or asked:
            wrong = f"tokenizer={self.tokenizer}" if self.tokenizer in ("words", "ngrams") else next(iter(asked), "long")
            raise ConfigError(
                f"'{name}': a text that is learned is written whole, so {wrong} has no meaning.\nOptions here: tokenizer=char or bpe, max, size."
            )
        if not any(text for value in values for text in references.texts_of(value)):
            raise DataError(f"'{name}': no training row has a text to learn from.\nName another column right of the arrow.")
        kept = {"most": self.max or self.most} if self.answer == kind else None  # a run that goes on keeps the earlier one's tokens
        own = (spec["codes"],) if "codes" in spec else ()
        found = kept or WRITINGS[kind].learn(values, self.tokenizer, self.size, self.max, spec.get("beside", ()), *own)
        found |= {"most": min(found["most"], spec["reach"])} if "reach" in spec else {}
        running = any(isinstance(value, Continued) for value in values)
        return replace(self, answer=kind, running=running, words=0, **found)

    def _fit_apart(self, texts: Sequence[str], name: str) -> Self:
        """Word by word (`mapsto.words`), as models want it that say something of each."""
        asked = [key for key in ("grams", "max") if getattr(self, key) is not None] + ["long"] * (self.long != "start")
        asked += [f"tokenizer={self.tokenizer}"] * (self.tokenizer not in (None, "words"))
        if asked:
            raise ConfigError(
                f"'{name}': this model reads a text word by word, so {asked[0]} has no meaning.\nLeave it out; options here: size, hide."
            )
        return replace(self, kind="apart", alphabet=words.learn(texts, self.size or VOCABULARY["words"]), words=0)

    def _count(self, texts: Sequence[str]) -> Self:
        """With as many buckets as the training texts fill, and how rare each is."""
        texts = spread(texts, SAMPLED)
        wide = filled(texts, 1 << 20, self.longest, self.words)
        buckets = 1 << int(np.clip(np.ceil(np.log2(max(wide, 1))), 10, 17))
        found = frequencies(texts, buckets, self.longest, self.words)
        level = np.clip(np.round(16 * np.log2((1 + len(texts)) / (1 + found))), 0, 255).astype(np.uint8)
        return replace(self, buckets=buckets, rarity=base64.b64encode(zlib.compress(level.tobytes(), 9)).decode())

    @property
    def layout(self) -> Layout:
        if self.kind == "apart":
            return Layout("int32", (None, words.WIDTH))
        return Layout("uint16" if self.answer and self.vocabulary_size <= 1 << 16 else "int32", (None,))

    def encode(self, value: str | None) -> np.ndarray:
        return self._encoded([value])[0]

    def encode_all(self, values: Sequence[str | None]) -> list[np.ndarray]:
        return self._encoded(values)

    def encode_column(self, cells: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        """All texts in a few strokes."""
        values, problems = self.read_all(cells)
        encoded = self._encoded(values)
        if self._whole and self.max is None:
            tokens = references.longest(Ragged.of(encoded)).tolist()
            problems |= {i: too_long(found, self.most) for i, found in enumerate(tokens) if found > self.most}
        return encoded, problems

    def _cut(self, text: str) -> str:
        """What is read of a very long text."""
        if len(text) <= MOST_CHARACTERS:
            return text
        half = MOST_CHARACTERS // 2
        return text[:half] + text[-half:] if self.long == "ends" else text[:MOST_CHARACTERS]

    def _encoded(self, values: Sequence[str | None]) -> list[np.ndarray]:
        if self.answer:
            found = WRITINGS[self.answer].tokens(values, self.kind, self.codes, self.alphabet)
            found = [references.cut(tokens, self.most) for tokens in found] if self._whole and self.max is not None else found
            return [tokens.astype(self.layout.dtype) for tokens in found]
        if self.kind == "apart":
            return [words.encoded(value, self.alphabet) for value in values]
        texts = ["" if value is None else self._cut(value) for value in values]
        tokens = [
            np.array([MISSING if value is None else START, *self._shortened(found)], np.int32)
            for value, found in zip(values, self._tokens(texts), strict=True)
        ]
        if not self.buckets:
            return tokens
        bags = [bag for some in by_size(texts) for bag in self._counted(some)]
        return [np.concatenate(pair) for pair in zip(tokens, bags, strict=True)]

    def _counted(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The packed bag of each of some texts."""
        text, bucket, count = grams(texts, self.buckets, self.longest, self.words)
        packed = ~(bucket << COUNT_BITS | np.minimum(count, MOST_COUNT)).astype(np.int32)
        return np.split(packed, np.searchsorted(text, np.arange(1, len(texts))))

    def _tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        if self.kind == "ngrams":
            return [()] * len(texts)
        if self.kind == "char":
            return [characters(text, self.alphabet) for text in texts]
        if self.kind == PUBLIC:
            return [[token + FIRST for token in found] for found in public_tokens.read([plain(text) for text in texts], self.codes, self.kept - 1)]
        return [found.ids for found in tokenizer_of(self.codes).encode_batch_fast([plain(text) for text in texts])]

    def _shortened(self, tokens: Sequence[int]) -> Sequence[int]:
        """What is stored of a text's tokens; the first place is START's."""
        most = self.kept - 1
        if len(tokens) <= most:
            return tokens
        if self.long == "ends":
            return [*tokens[: most // 2], *tokens[len(tokens) - (most - most // 2) :]]
        return tokens[:most]

    def steps(self, arrays: Ragged) -> np.ndarray:
        """Tokens that one pass through a net reads; the counted runs beside them are not padded."""
        if self._whole:
            return references.longest(arrays)
        return arrays.lengths.numpy() if self.answer or self.kind == "apart" else tokens_of(arrays)[1].clamp(max=self.most).numpy()

    def present(self, arrays: Ragged) -> Tensor:
        return arrays.lengths > 0

    def collate(self, arrays: Ragged, draw: Draw | None) -> Padded:
        """Texts: int64 (B, T) tokens, 0 beyond the lengths, some hidden in training; bags with weights tf · idf of length 1. Right
        of the arrow Padded, the tokens alone."""
        if self._whole:
            return references.collated(arrays, draw)
        if self.answer:
            return padded(arrays.flat.long(), arrays.lengths)
        if self.kind == "apart":
            return words.collated(arrays, draw, self.hide or 0.0)
        token, lengths = tokens_of(arrays)
        flat = arrays.flat.numpy()  # whose masks are eight times as fast as torch's
        tokens = padded(torch.from_numpy(flat[token]).long(), lengths)
        if draw is not None:
            tokens = self._disturbed(tokens, draw)
        bags = weighed(Ragged(torch.from_numpy(~flat[~token]), arrays.lengths - lengths), rarities_of(self.rarity)) if self.buckets else None
        return Texts(tokens.values, tokens.lengths, tokens.counts, bags)

    def _disturbed(self, tokens: Padded, draw: Draw) -> Padded:
        """Training: one random window of a long text, and `hide` of the tokens unknown; the first token stays."""
        if self.long == "windows" and tokens.values.shape[1] > self.most:
            room = (tokens.lengths - self.most).clamp(min=0)
            tokens = self._window(tokens, (draw.uniform("text window", 1)[:, 0].to(room.device) * (room + 1)).long())
            tokens = replace(tokens, counts=tuple(tokens.lengths.tolist()))
        if not self.hide:
            return tokens
        longest = tokens.values.shape[1]  # in the name: other texts of the row have other lengths
        hidden = draw.uniform(f"hidden of {longest} tokens", longest).to(tokens.values.device) < self.hide
        hidden[:, 0] = False
        return Padded(torch.where(hidden & tokens.mask, UNKNOWN, tokens.values), tokens.lengths, tokens.counts)

    def _window(self, tokens: Padded, start: Tensor) -> Padded:
        """`most` tokens of each row from `start` (B,) on; the first place keeps what it says of the text."""
        places = start[:, None] + torch.arange(self.most, device=start.device)
        taken = tokens.values.gather(1, places.clamp(max=tokens.values.shape[1] - 1))
        taken[:, 0] = tokens.values[:, 0]
        lengths = (tokens.lengths - start).clamp(max=self.most)
        return Padded(taken * (torch.arange(self.most, device=start.device) < lengths[:, None]), lengths)

    def views(self, values: Texts) -> list[Padded]:  # type: ignore[override]
        """Windows spread evenly over each text: the power of two of them that covers it, so that the mean over all views is the mean over
        a text's own windows, whatever else is in the batch. A short text is seen whole in each."""
        if self.long != "windows" or values.values.shape[1] <= self.most:
            return [values]
        filled = (values.lengths.clamp(max=self.most * WINDOWS) / self.most).ceil().clamp(min=1)
        number = 2 ** filled.log2().ceil().long()  # (B,)
        most, room = int(number.max()), (values.lengths - self.most).clamp(min=0)
        starts = [room * (k * number // most) // (number - 1).clamp(min=1) for k in range(most)]
        windows = [self._window(values, start) for start in starts]
        return [Texts(window.values, window.lengths, bags=values.bags) for window in windows]

    # ---- for the data gate ----

    def traits(self, arrays: Ragged) -> dict[str, np.ndarray]:
        """Length: tokens read, or different runs where there are only these."""
        lengths = tokens_of(arrays)[1] if self.kind not in ("ngrams", "apart") else arrays.lengths
        return {"length": lengths.numpy().astype(np.float64)}

    def likeness(self, arrays: Ragged) -> np.ndarray:
        """Counted runs (or tokens), hashed with random signs into MARKS places, which keeps cosines (Weinberger et al. 2009)."""
        flat, row = (words.numbers(arrays.flat) if self.kind == "apart" else arrays.flat).long(), arrays.row
        run = flat < 0 if self.buckets else flat >= FIRST
        packed, row = (~flat[run], row[run]) if self.buckets else ((flat[run] << COUNT_BITS) + 1, row[run])
        mixed = ((packed >> COUNT_BITS) * 0x9E3779B1) % (1 << 32)
        weight = (1 + (packed & MOST_COUNT).float().log()) * (2.0 * ((mixed >> 10) & 1) - 1)
        marks = torch.zeros(len(arrays), MARKS).index_put_((row, (mixed >> 16) % MARKS), weight, accumulate=True)
        enough = torch.bincount(row, minlength=len(arrays))[:, None] >= FEWEST_RUNS
        return torch.where(enough, marks / marks.norm(dim=1, keepdim=True).clamp(min=1e-12), 0.0).numpy()

    @property
    def alike(self) -> tuple[float, float]:
        """A changed word or two in prose; in molecules and sequences a letter is another meaning."""
        return (0.92, 0.6) if self.words else (0.99, 0.4)

    # ---- for people ----

    def about(self, names: bool = True) -> str:
        if self.kind == "apart":
            return f"words, {self.vocabulary_size - FIRST:,} known, each with its letters"
        vocabulary = f", {self.vocabulary_size - FIRST:,} known" if self.kind != "ngrams" else ""
        bag = f"{' with ' if self.kind != 'ngrams' else ''}counted runs of letters{' and words' if self.words else ''} in {self.buckets:,} buckets"
        kind = {"ngrams": "", PUBLIC: "the public model's own tokens"}.get(self.kind, self.kind)
        return f"{kind}{vocabulary}{bag if self.buckets else ''}"

    def said(self, name: str) -> str:
        """How it is read, and what a person may not expect."""
        if self.answer:
            return f"'{name}' is written in {self.about()}, {WRITINGS[self.answer].said(self.writes or self.most)}"
        told = f"'{name}' is read as {self.about()}"
        if self.cut >= 0.005 and self.kind != "ngrams":
            told += f"; of {self.cut:.0%} of the texts, longer than {self.most} tokens, {_LONG[self.long]} (max=…, long=…)"
        if self.over:
            parts = "its first and last 10,000" if self.long == "ends" else "its first 20,000"
            told += f"; of a text of more than 20,000 characters ({self.over:.1%} of them), only {parts} are read"
        if self.paths:
            told += "; its cells look like names of files, of which only the letters are read"
        elif self.distinct == 1:
            told += f"; all its texts are the same, so nothing can be learned from it (--drop {name})"
        elif self.distinct:
            told += f"; it has {self.distinct} different texts only: {name}:category would do"
        return told

    def show(self, value: str | None) -> str:
        value = " ¶ ".join(references.texts_of(value)) or None if self._whole else value
        return "—" if value is None else " ".join(value[:300].split()) + ("…" if len(value) > 300 else "")

    def slices(self, values: Sequence[str | None]) -> dict[str, np.ndarray]:
        """Quarters by length in characters."""
        return quarters([None if value is None else float(len(value)) for value in values], lambda count: f"{count:.0f} characters")

    @property
    def corruptions(self) -> Mapping[str, tuple[float, ...]]:
        return {TYPING: (0.02, 0.05, 0.1, 0.2), DROPPED: SHARES, CASE: (0.5, 1.0), MISSING_CELLS: SHARES}

    def corrupt(self, name: str, level: float, value: str | None, draw: np.random.Generator) -> str | None:
        """Typing errors swap, drop, double or replace a letter by one of the same text."""
        if value is None or (name == MISSING_CELLS and draw.random() < level):
            return None
        if name == TYPING:
            return mistyped(value, level, draw)
        change = {DROPPED: lambda word: "", CASE: str.upper}.get(name)
        return words_disturbed(value, level, draw, change) if change else value

    def parts(self, value: str | None, most: int) -> list[str]:
        """The text without one word (or, where it has no spaces, one run of characters) at a time."""
        pieces = pieces_of(value or "", most)
        return ["".join(pieces[:i] + pieces[i + 1 :]) for i in range(len(pieces))]

    def marked(self, value: str, weights: Sequence[float]) -> Item:
        pieces = pieces_of(value, len(weights))
        rest = value[sum(map(len, pieces)) :]
        return Item(pieces=(*zip(pieces, map(float, weights), strict=True), *([(rest[:200] + "…" * (len(rest) > 200), 0.0)] if rest else ())))

    # ---- for nets ----

    def outside(self, values: Texts) -> Tensor | None:
        """How rare its runs are in the training texts, in the mean: another language or keys hit at random consist of rare ones."""
        if self.kind == "apart" or values.bags is None:
            return None
        rarity = rarities_of(self.rarity).to(values.lengths.device)[values.bags.flat[:, 0].long()]
        total = torch.zeros(len(values.bags), device=rarity.device).index_add_(0, values.bags.row, rarity)
        return total / values.bags.lengths.to(rarity.device).clamp(min=1)

    @property
    def _whole(self) -> bool:
        """Right of the arrow: is each answer written from its beginning to its end?"""
        return bool(self.answer) and WRITINGS[self.answer].whole

    @property
    def passage(self) -> int:
        return (50 if self.kind == "char" else 13) if self.answer and not self._whole else 0

    @property
    def vocabulary_size(self) -> int:
        """Token numbers there are, the special ones included."""
        if self.kind in ("char", "apart"):
            return FIRST + len(self.alphabet if self.kind == "char" else words.numbers_of(self.alphabet))
        if self.kind == PUBLIC:
            return FIRST + public_tokens.size_of(self.codes)
        return FIRST if self.kind == "ngrams" else tokenizer_of(self.codes).get_vocab_size()

    @property
    def leads(self) -> bool:
        return self.buckets > 0

    def stem(self, width: int | None) -> nn.Module:
        if self.kind == "apart":
            return words.WordBag() if width is None else words.WordStem(self.alphabet, width)
        if width is None:
            return PlainBag(self.vocabulary_size, self.buckets, upper=not self.words)
        return TextStem(None if self.kind == "ngrams" else self.vocabulary_size, self.buckets, width)

    def plain(self, stem: nn.Module, values: Texts) -> Any:  # type: ignore[override]
        return stem.sparse(values) if isinstance(stem, PlainBag) else super().plain(stem, values)

    def head(self, width: int, kind: str) -> Head:
        return WRITINGS[kind].head(width, self)

    def takes(self, arrays: Ragged) -> np.ndarray | None:
        return WRITINGS[self.answer].takes(arrays)

    def simple(self, name: str, rooms: Mapping[tuple[str, str], DataType], batches: Iterator[Batch]) -> Simple | None:
        return WRITINGS[self.answer].simple(name, batches)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return WRITINGS[self.answer].metrics(self) if self.answer else ()


_LONG = {"start": "the start is read", "ends": "both ends are read", "windows": "windows are read and averaged"}
