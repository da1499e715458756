"""Texts in any language and script, sentences, documents, DNA, molecules.

A read value is the text as it stands. Left of the arrow it is tokens in order and a bag of counted runs
beside them, or words one by one: how, is its `mapsto.types.text.inputs`. Right of the arrow it is tokens
alone, as the kind of answer wants it (`mapsto.outputs`). Letters: B batch, T tokens, G counted runs, D width,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Blob, Column, Continued, is_missing, shorten, sound
from mapsto.config import setting
from mapsto.errors import CellError
from mapsto.lazy import torch
from mapsto.registry import entry
from mapsto.signature import Signature, Slot
from mapsto.source import Source
from mapsto.types.base import MISSING_CELLS, SHARES, DataType, Layout, learned, options_given, quarters
from mapsto.types.text.cells import prose_share, text_of, texts_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mapsto.batch import Draw, Padded, Ragged
    from mapsto.blocks import Item
    from mapsto.types.text.stems import Texts

TYPING = "typing errors, share of characters"
DROPPED = "words dropped, share"
CASE = "upper case, share of words"


@dataclass(frozen=True)
class Text(DataType):
    """A text. Stored: int32 (n,): token numbers, then -(1 + 256 · bucket + count) of each counted run."""

    modality: ClassVar[str] = "text"
    prose: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    placeholder: ClassVar[Any] = "some text"
    outputs: ClassVar[tuple[str, ...]] = ("tokens", "sequence", "ctc")
    reading: ClassVar[tuple[str, ...]] = (
        "kind",
        "codes",
        "alphabet",
        "buckets",
        "words",
        "longest",
        "kept",
        "long",
        "answer",
    )

    tokenizer: str | None = setting(
        None,
        "what a token is; default: words, or char where texts have no spaces",
        choices=("words", "bpe", "char", "ngrams"),
    )
    grams: bool | None = setting(None, "count runs of letters and words beside the tokens; default: yes")
    max: int | None = setting(
        None,
        "tokens read of a text; default: enough for 99 of 100 training texts, within limits; right of the"
        " arrow: tokens a block holds",
        above=0,
    )
    long: str = setting(
        "start",
        "of longer texts, read the start, both ends, or windows all over it",
        choices=("start", "ends", "windows"),
    )
    size: int | None = setting(
        None,
        "tokens in the vocabulary; default: 20,000 words, 8,000 pieces, fewer to learn a short text",
        above=8,
    )
    hide: float | None = setting(
        None, "share of tokens hidden in training; default: the recipe decides", above=-1e-9, below=1
    )
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
    copied: float = learned(0.0)  # right of the arrow: share of its words that stand left of it, if copied
    answer: str = learned(
        ""
    )  # right of the arrow: the kind of head that it is written for. `most` tokens are then learned at once

    @classmethod
    def arrange(cls, source: Source, slot: Slot | None, signature: Signature | None) -> Source:
        """`-> text` of a file that might be a table, but has no column of that name, asks for it as a text
        that goes on."""
        if slot is None or signature is None or signature.inputs or signature.outputs != (slot,):
            return source
        return source if {slot.name, slot.column} & set(source.columns) else source.running()

    @classmethod
    def sniff(cls, column: Column) -> float:
        """Prose .82: several words a cell that recur in others, cells that mostly differ. Long sequences
        without spaces over a small alphabet, or of many lengths (molecules), .75. Ids, names of files and
        words that repeat are not texts; among texts something else may stand now and then, such as a
        number."""
        return prose_share(column.known)

    def read(self, cell: Any) -> str | None:
        """The text as it stands; numbers as they are written. Bytes and files are utf-8. Nothing but blanks
        is missing: csv cannot tell."""
        if isinstance(cell, Continued):
            return Continued(sound(cell))
        if isinstance(cell, np.generic):
            cell = cell.item()
        if (
            isinstance(cell, (str, bytes, Blob, int, float, list, tuple))
            or is_missing(cell)
            or getattr(cell, "ndim", 0) == 1
        ):
            return text_of(cell)
        raise CellError(
            f"expected a text, got {type(cell).__name__} {shorten(cell)}.\nGive text, or leave the column"
            " out."
        )

    def fit(self, values: Sequence[str | None], spec: Mapping[str, Any]) -> Self:
        """Tokens, lengths and rarities of training texts. spec: "tokenizer" a model's own; "fixed": it takes
        a fixed number of tokens, so only the bag; "bag" False: it reads tokens alone; "enough": the share of
        training texts that are read whole (.99); "beside": texts to learn tokens from in place of its own;
        "codes" and "reach": a public model's own tokens, and how many it reads; "kind": right of the arrow,
        the kind of head; "copy": may it be copied from what it answers, None: see."""
        if "codes" in spec:
            from mapsto.types.text.pretrained import refuse

            refuse(str(spec.get("name", "text")), options_given(self), spec["reach"])
        if spec.get("side") == "output":
            from mapsto.types.text._answers import fitted

            return replace(self, **fitted(self, values, spec))
        from mapsto.types.text._kinds import tokenizer_kind

        texts = [value for value in values if value is not None]

        column_type = replace(self, kind=tokenizer_kind(self, texts, spec))
        return column_type._inputs.fit(column_type, texts, spec)

    @property
    def layout(self) -> Layout:
        if self.answer:
            return Layout("uint16" if self.vocabulary_size <= 1 << 16 else "int32", (None,))
        return self._inputs.layout

    def encode(self, value: str | None) -> np.ndarray:
        return self._encoded([value])[0]

    def encode_all(self, values: Sequence[str | None]) -> list[np.ndarray]:
        return self._encoded(values)

    def encode_column(self, cells: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        """All texts in a few strokes."""
        values, problems = self.read_all(cells)
        encoded = self._encoded(values)
        if self._whole and self.max is None:
            from mapsto.batch import Ragged
            from mapsto.types.text.references import longest
            from mapsto.types.text.targets import too_long

            tokens = longest(Ragged.of(encoded)).tolist()
            problems |= {i: too_long(found, self.most) for i, found in enumerate(tokens) if found > self.most}
        return encoded, problems

    def _encoded(self, values: Sequence[str | None]) -> list[np.ndarray]:
        if self.answer:
            found = entry("outputs", self.answer).tokens(values, self.kind, self.codes, self.alphabet)
            if self._whole and self.max is not None:
                from mapsto.types.text.several import cut

                found = [cut(tokens, self.most) for tokens in found]
            return [tokens.astype(self.layout.dtype) for tokens in found]
        return self._inputs.encode(self, values)

    def steps(self, arrays: Ragged) -> np.ndarray:
        """Tokens that one pass through a net reads."""
        if self._whole:
            from mapsto.types.text.references import longest

            return longest(arrays)
        return arrays.lengths.numpy() if self.answer else self._inputs.steps(self, arrays).numpy()

    def present(self, arrays: Ragged) -> Tensor:
        return arrays.lengths > 0

    def collate(self, arrays: Ragged, draw: Draw | None, geometry: Tensor | None = None) -> Padded:
        """`Texts` (Padded words where these are read one by one), some tokens hidden in training. Right of
        the arrow Padded, the tokens alone."""
        if self._whole:
            from mapsto.types.text.references import collated

            return collated(arrays, draw)
        if self.answer:
            from mapsto.types.text.stems import padded

            return padded(arrays.flat.long(), arrays.lengths)
        return self._inputs.collate(self, arrays, draw)

    def graph_inputs(self, arrays: Any) -> dict[str, np.ndarray]:
        return self._inputs.graph_inputs(self, arrays)

    def from_graph(self, tensors: Mapping[str, Tensor]) -> Padded:
        return self._inputs.from_graph(self, tensors)

    def views(self, values: Texts) -> list[Padded]:  # type: ignore[override]
        """Windows all over a long text, where these are asked for."""
        from mapsto.types.text._reading import WINDOWS
        from mapsto.types.text.stems import windows

        if self.long != "windows" or (
            not torch.compiler.is_exporting() and values.values.shape[1] <= self.most
        ):
            return [values]
        return windows(values, self.most, WINDOWS)

    # ---- for the data gate ----

    def summary_stats(self, arrays: Ragged) -> dict[str, np.ndarray]:
        """Length: tokens read, bytes of byte pairs, or different runs where there are only these."""
        return {"length": self._inputs.lengths(self, arrays).numpy().astype(np.float64)}

    def similarity_embedding(self, arrays: Ragged) -> np.ndarray:
        """Counted runs (or tokens), hashed with random signs into MARKS places, which keeps cosines
        (Weinberger et al. 2009)."""
        return self._inputs.similarity_embedding(self, arrays)

    @property
    def duplicate_thresholds(self) -> tuple[float, float]:
        """A changed word or two in prose; in molecules and sequences a letter is another meaning."""
        return (0.92, 0.6) if self.words else (0.99, 0.4)

    # ---- for people ----

    def about(self, names: bool = True) -> str:
        return self._inputs.about(self)

    def said(self, name: str) -> str:
        """How it is read, and what a person may not expect."""
        if self.answer:
            from mapsto.types.text._answers import sentence

            return sentence(self, name)
        from mapsto.types.text._reading import said

        return said(self, name, self.about())

    def show(self, value: str | None) -> str:
        if self._whole:
            value = " ¶ ".join(texts_of(value)) or None
        return "—" if value is None else " ".join(value[:300].split()) + ("…" if len(value) > 300 else "")

    def slices(self, values: Sequence[str | None]) -> dict[str, np.ndarray]:
        """Quarters by length in characters."""
        return quarters(
            [None if value is None else float(len(value)) for value in values],
            lambda count: f"{count:.0f} characters",
        )

    @property
    def corruptions(self) -> Mapping[str, tuple[float, ...]]:
        return {TYPING: (0.02, 0.05, 0.1, 0.2), DROPPED: SHARES, CASE: (0.5, 1.0), MISSING_CELLS: SHARES}

    def corrupt(self, name: str, level: float, value: str | None, draw: np.random.Generator) -> str | None:
        """Typing errors swap, drop, double or replace a letter by one of the same text."""
        if value is None or (name == MISSING_CELLS and draw.random() < level):
            return None
        from mapsto.types._corruptions import add_typos, words_disturbed

        if name == TYPING:
            return add_typos(value, level, draw)
        change = {DROPPED: lambda word: "", CASE: str.upper}.get(name)
        return words_disturbed(value, level, draw, change) if change else value

    def parts(self, value: str | None, most: int) -> list[str]:
        """The text without one word (or, where it has no spaces, one run of characters) at a time."""
        from mapsto.types._corruptions import pieces_of

        pieces = pieces_of(value or "", most)
        return ["".join(pieces[:i] + pieces[i + 1 :]) for i in range(len(pieces))]

    def marked(self, value: str, weights: Sequence[float]) -> Item:
        from mapsto.blocks import Item
        from mapsto.types._corruptions import pieces_of

        pieces = pieces_of(value, len(weights))
        rest = value[sum(map(len, pieces)) :]
        return Item(
            pieces=(
                *zip(pieces, map(float, weights), strict=True),
                *([(rest[:200] + "…" * (len(rest) > 200), 0.0)] if rest else ()),
            )
        )

    def web_options(self) -> dict[str, Any]:
        from mapsto.types.text import _web

        return _web.options_of(self)

    # ---- for nets ----

    @property
    def max_steps(self) -> int:
        return self.most

    def texts_of(self, values: Padded) -> list[str] | None:
        """Where tokens keep every letter."""
        from mapsto.types.text.pretrained import PUBLIC
        from mapsto.types.text.targets import decode_texts

        if self.kind not in ("bpe", "char", PUBLIC):
            return None
        rows = zip(values.values, values.lengths.tolist(), strict=True)
        return decode_texts(
            [row[:length].cpu().numpy() for row, length in rows], self.kind, self.codes, self.alphabet
        )

    def range_violation(self, values: Texts) -> Tensor | None:
        """How rare its runs are in the training texts, in the mean: another language or keys hit at random
        consist of rare ones."""
        from mapsto.types.text.stems import Texts, mean_rarity, rarities_of

        if not isinstance(values, Texts) or values.bags is None:
            return None
        return mean_rarity(values.bags, rarities_of(self.rarity))

    @property
    def _inputs(self) -> Any:
        """How its kind of token is read; imported when there are texts."""
        from mapsto.types.text.inputs import TEXT_INPUTS

        return TEXT_INPUTS[self.kind]

    @property
    def _whole(self) -> bool:
        """Right of the arrow: is each answer written from its beginning to its end?"""
        return bool(self.answer) and entry("outputs", self.answer).whole

    @property
    def overlap_length(self) -> int:
        return (50 if self.kind == "char" else 13) if self.answer and not self._whole else 0

    @property
    def vocabulary_size(self) -> int:
        """Token numbers there are, the special ones included."""
        return self._inputs.size(self)

    @property
    def has_summary_token(self) -> bool:
        return self.buckets > 0

    def stem(self, width: int | None) -> nn.Module:
        return self._inputs.stem(self, width)

    def plain(self, stem: nn.Module, values: Texts) -> Any:  # type: ignore[override]
        from mapsto.types.text.stems import PlainBag

        return stem.sparse(values) if isinstance(stem, PlainBag) else super().plain(stem, values)

    def plain_tensor(self, stem: nn.Module, values: Texts) -> Tensor | None:  # type: ignore[override]
        from mapsto.types.text.stems import PlainBag

        return stem.sparse_tensor(values) if isinstance(stem, PlainBag) else None

    def output(self, kind: str | None = None) -> Any:
        return super().output(kind or self.answer or None)

    def min_input_steps(self, arrays: Ragged) -> np.ndarray | None:
        return self.output().min_input_steps(arrays)
