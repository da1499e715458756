"""Conversations, of which the assistant's words are learned: lists of {"role", "content"}.

`messages -> text` reads: given what was said before, the assistant's text. Both stand in one cell, for a
conversation holds its answers, and every one of them is learned; so the signature that is learned is `->
messages`, as `-> text` is a text's, and what serves the one (packing, vocabularies, writing with a cache)
serves the other. How a conversation is written as tokens is `mapsto.types.text.conversation`. Letters: B
batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Column
from mapsto.config import setting
from mapsto.errors import CellError, DataError
from mapsto.signature import Signature, Slot
from mapsto.types.base import DataType, Layout, learned

if TYPE_CHECKING:
    from mapsto.types.text.conversation import Messages as Said

FEWEST, LONGEST = 64, 512  # tokens read at once, where nobody says otherwise
# characters of conversations up to which single ones are the tokens: of more, pieces let a net read further
# back
SHORT = 200_000


@dataclass(frozen=True)
class Messages(DataType):
    """A conversation. Stored: int32 (n,): 2 · token + (is it learned?), in windows of at most `most` + 1
    tokens behind each other."""

    modality: ClassVar[str] = "text"
    unmistakable: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    outputs: ClassVar[tuple[str, ...]] = ("chat",)
    answers: ClassVar[bool] = False
    reading: ClassVar[tuple[str, ...]] = ("kind", "codes", "alphabet", "most")

    tokenizer: str | None = setting(
        None, "what a token is; default: bpe, char where the conversations are few", choices=("bpe", "char")
    )
    max: int | None = setting(
        None, "tokens read at once; default: enough for 9 of 10 conversations, from 64 to 512", above=15
    )
    size: int | None = setting(
        None, "tokens in the vocabulary; default: fewer to learn a short text", above=8
    )
    kind: str = learned("")
    codes: str = learned("")  # the tokenizer of bpe, in the `tokenizers` library's own JSON
    alphabet: str = learned("")  # of char, in order of code points
    most: int = learned(0)
    cut: float = learned(0.0)  # share of training conversations longer than that
    unknown: float = learned(0.0)  # share of tokens that a vocabulary taken over has no number for

    @classmethod
    def restated(cls, slot: Slot, signature: Signature, columns: Sequence[str]) -> Signature:
        """`messages -> text`, where no column is named right of the arrow: a conversation holds what is to be
        learned of it, so it is learned as `-> messages`."""
        if signature.inputs != (slot,) or len(signature.outputs) != 1:
            return signature
        (learned,) = signature.outputs
        if learned.name in columns or (learned.type or learned.name) != "text":
            return signature
        options = {**learned.options, **slot.options}
        return Signature((), (replace(slot, type=slot.type or slot.name, options=options),))

    @classmethod
    def sniff(cls, column: Column) -> float:
        """Lists of objects with a role, .9."""
        known = column.known[:200]
        return 0.9 * sum(map(_are_messages, known)) / max(1, len(known))

    def read(self, cell: Any) -> Said | None:
        """(role, content) of each message. A conversation without a word of the assistant's teaches nothing,
        and is refused."""
        from mapsto.types.text.conversation import in_order, messages_of

        messages = messages_of(cell)
        if messages is None:
            return None
        if isinstance(cell, str) and len(messages) == 1:
            raise CellError(
                'expected messages, [{"role": "user", "content": "…"}, …], got a plain text.\nWhat is no'
                " conversation is learned by: -> text."
            )
        if not any(role == "assistant" for role, _ in in_order(messages)):
            raise CellError(
                "no message is the assistant's, so there is nothing to learn.\nAdd its answer, or leave the"
                " row out."
            )
        return messages

    def fit(self, values: Sequence[Said | None], spec: Mapping[str, Any]) -> Self:
        """A vocabulary, unless one was taken over, and how much is read at once."""
        known = [messages for messages in values if messages is not None]
        if not known:
            raise DataError(
                f"'{spec.get('name', 'messages')}': no training row holds a conversation.\nName another"
                " column right of the arrow."
            )
        from mapsto.types.text.conversation import turns_of
        from mapsto.types.text.targets import stream_vocabulary
        from mapsto.types.text.tokenizers import UNKNOWN

        column_type = self
        if not self.kind:
            texts = [content for messages in known for _, content in messages]
            usual = "char" if sum(map(len, texts)) < SHORT else "bpe"
            column_type = replace(
                self, **stream_vocabulary(texts, self.tokenizer or usual, self.size, self.max)
            )
        turns = turns_of(known, column_type.kind, column_type.codes, column_type.alphabet)
        lengths = np.array([1 + sum(map(len, one)) for one in turns])
        fitting = int(np.clip(np.ceil(np.quantile(lengths, 0.9) / 8) * 8, FEWEST, LONGEST))
        most = self.max or max(
            self.most, fitting
        )  # positions are relative: a net that read less learns to read more
        tokens = np.concatenate([turn for one in turns for turn in one])
        return replace(
            column_type,
            most=most,
            cut=float((lengths > most + 1).mean()),
            unknown=float((tokens >> 1 == UNKNOWN).mean()),
        )

    def extended_from(self, earlier: DataType) -> Self | None:
        """With the vocabulary of any room that writes texts."""
        found = vocabulary_of(earlier)
        return replace(self, **{**found, "most": self.max or found["most"]}) if found else None

    @property
    def layout(self) -> Layout:
        return Layout("int32", (None,))

    def encode(self, value: Said | None) -> np.ndarray:
        return self.encode_all([value])[0]

    def encode_all(self, values: Sequence[Said | None]) -> list[np.ndarray]:
        from mapsto.types.text.conversation import turns_of, windows

        known = iter(
            turns_of([value for value in values if value is not None], self.kind, self.codes, self.alphabet)
        )
        return [
            np.empty(0, np.int32) if value is None else windows(next(known), self.most + 1)
            for value in values
        ]

    def encode_column(self, cells: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        """All conversations in one stroke."""
        values, problems = self.read_all(cells)
        return self.encode_all(values), problems

    def show(self, value: Said | None) -> str:
        from mapsto.types.text.conversation import shown

        return "—" if value is None else shown(value)

    def said(self, name: str) -> str:
        """How it is read."""
        told = (
            f"'{name}': conversations, of which the assistant's words are learned; {self.most} tokens"
            f" ({self.kind}) at once"
        )
        if self.cut:
            told += f"; {self.cut:.0%} of the conversations are longer and learned in windows that overlap"
        if self.unknown > 0.001:
            told += f"; {self.unknown:.1%} of the tokens are letters that the earlier run never saw"
        return told

    @property
    def vocabulary_size(self) -> int:
        from mapsto.types.text.tokenizers import vocabulary_size

        return vocabulary_size(self.kind, self.codes, self.alphabet)


def vocabulary_of(column_type: DataType) -> dict[str, Any]:
    """What a room that writes texts has learned, as such a room's fields; {} of others."""
    found = {name: vars(column_type).get(name) for name in ("kind", "codes", "alphabet", "most")}
    return found if found["most"] and found["kind"] in ("char", "bpe") else {}


def _are_messages(cell: Any) -> bool:
    """Do a list's items look like messages?"""
    first = (
        cell[0]
        if isinstance(cell, (list, tuple, np.ndarray)) and getattr(cell, "shape", None) != () and len(cell)
        else None
    )
    if not isinstance(first, Mapping):
        return False
    from mapsto.types.text.conversation import KEYS

    return any(set(keys) <= set(first) for keys in KEYS)
