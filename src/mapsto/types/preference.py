"""Pairs of answers of which people prefer one: what is learned from them is to answer more as they like it.

A table with columns `chosen` and `rejected`, and perhaps `prompt`, has a column `preference`
(`with_pairs`), so `-> preference` is its signature. Each of the three is a list of messages or a plain
text: a prompt is then the user's, an answer the assistant's. Without a prompt, what both conversations begin
with is the prompt. Letters: B batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Column
from mapsto.config import setting
from mapsto.errors import CellError, DataError, SignatureError
from mapsto.lazy import torch
from mapsto.signature import Signature, Slot
from mapsto.source import Source
from mapsto.types.base import DataType, Layout, learned
from mapsto.types.messages import vocabulary_of

if TYPE_CHECKING:
    from torch import Tensor

    from mapsto.batch import Draw, Padded, Ragged
    from mapsto.types._pairs import Pair

NAME, PARTS = "preference", ("prompt", "chosen", "rejected")
LONGEST = 512  # tokens read at once, where nobody says otherwise


@dataclass(frozen=True)
class Preference(DataType):
    """A prompt and two answers. Stored: int32 (n, 2): behind the same prompt the chosen answer and the
    rejected, 2 · token + (is it the answer's?), 0 behind the shorter one."""

    modality: ClassVar[str] = "text"
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    outputs: ClassVar[tuple[str, ...]] = ("chat",)
    answers: ClassVar[bool] = False
    reading: ClassVar[tuple[str, ...]] = ("kind", "codes", "alphabet", "most")

    max: int | None = setting(None, "tokens read at once; default: as the run that it starts from", above=15)
    kind: str = learned("")
    codes: str = learned("")
    alphabet: str = learned("")
    most: int = learned(0)
    cut: float = learned(0.0)  # share of training pairs longer than that

    @classmethod
    def arrange(cls, source: Source, slot: Slot | None, signature: Signature | None) -> Source:
        """A table with two columns of answers gets one of pairs, before anybody asks."""
        if slot is not None or NAME in source.columns or not set(PARTS[1:]) <= set(source.columns):
            return source
        from mapsto.types._pairs import with_pairs

        return with_pairs(source, NAME, PARTS)

    @classmethod
    def restated(cls, slot: Slot, signature: Signature, columns: Sequence[str]) -> Signature:
        """SignatureError where one of two columns of answers is there alone."""
        there = [name for name in PARTS[1:] if name in columns]
        if {slot.name, slot.column} & set(columns) or len(there) != 1:
            return signature
        (lacking,) = set(PARTS[1:]) - set(there)
        raise SignatureError(
            f"'{slot}': there is a column '{there[0]}' but none '{lacking}', and a {NAME} is a pair of"
            f" answers.\nAdd a column '{lacking}' with the answer that people"
            f" {'like less' if lacking == PARTS[2] else 'prefer'}."
        )

    @classmethod
    def sniff(cls, column: Column) -> float:
        """Objects with a chosen and a rejected answer, .95."""
        known = column.known[:200]
        return (
            0.95
            * sum(isinstance(cell, Mapping) and set(PARTS[1:]) <= set(cell) for cell in known)
            / max(1, len(known))
        )

    def read(self, cell: Any) -> Pair | None:
        """None where no answer is there. CellError: one answer alone, two equal ones, what is no
        conversation."""
        if cell is None or not isinstance(cell, Mapping):
            if cell is None or (isinstance(cell, float) and np.isnan(cell)):
                return None
            raise CellError(
                f'expected {{"prompt": …, "chosen": …, "rejected": …}}, got {type(cell).__name__}.'
                "\nGive both answers, or leave the row out."
            )
        from mapsto.types._pairs import pair_of

        return pair_of(cell, PARTS)

    def fit(self, values: Sequence[Pair | None], spec: Mapping[str, Any]) -> Self:
        """The vocabulary is the earlier run's; how much is read at once, too."""
        known = [pair for pair in values if pair is not None]
        if not known:
            raise DataError(
                f"'{spec.get('name', 'preference')}': no training row holds two answers.\nName another column"
                " right of the arrow."
            )
        column_type = self
        if not self.kind:  # to be checked without a run to start from
            from mapsto.types.text.targets import stream_vocabulary

            found = stream_vocabulary(
                [content for pair in known for part in pair for _, content in part], None, None, self.max
            )
            column_type = replace(self, **found)
        column_type = replace(column_type, most=self.max or self.most or LONGEST)
        lengths = np.array(
            [max(map(len, column_type._written(*turns))) for turns in column_type._turns(known)]
        )
        return replace(column_type, cut=float((lengths > column_type.most + 1).mean()))

    def extended_from(self, earlier: DataType) -> Self | None:
        """With the vocabulary of any room that writes texts."""
        found = vocabulary_of(earlier)
        return replace(self, **{**found, "most": self.max or found["most"]}) if found else None

    @property
    def layout(self) -> Layout:
        return Layout("int32", (None, 2))

    def encode(self, value: Pair | None) -> np.ndarray:
        return self.encode_all([value])[0]

    def encode_all(self, values: Sequence[Pair | None]) -> list[np.ndarray]:
        turns = self._turns([value for value in values if value is not None])
        from mapsto.types._pairs import side_by_side

        known = iter([side_by_side(*self._written(*one, limit=self.most + 1)) for one in turns])
        return [np.empty((0, 2), np.int32) if value is None else next(known) for value in values]

    def _turns(self, pairs: Sequence[Pair]) -> list[list[list[np.ndarray]]]:
        """[the prompt's turns, the chosen answer's, the rejected one's] of each pair; only answers are
        learned."""
        from mapsto.types.text.conversation import turns_of

        found = turns_of([part for pair in pairs for part in pair], self.kind, self.codes, self.alphabet)
        return [
            [[turn & ~np.int32(1) for turn in found[i]], found[i + 1], found[i + 2]]
            for i in range(0, len(found), 3)
        ]

    def _written(
        self, prompt: list[np.ndarray], *answers: list[np.ndarray], limit: int = 1 << 30
    ) -> list[np.ndarray]:
        """The prompt behind a START, then an answer, for each of these. Where that is more than `limit`
        tokens, an answer keeps its first half of them or what the prompt leaves, the prompt its newest
        messages."""
        from mapsto.types.text.conversation import begun, shortened

        size = sum(map(len, prompt))
        tails = [np.concatenate(answer)[: max(limit - 1 - size, limit // 2)] for answer in answers]
        column_type = limit - 1 - max(map(len, tails))
        while len(prompt) > 1 and sum(map(len, prompt)) > column_type:
            prompt = prompt[1:]
        return [begun([*(shortened(turn, column_type) for turn in prompt), tail]) for tail in tails]

    def steps(self, arrays: Ragged) -> np.ndarray:
        return arrays.lengths.numpy()

    def collate(self, arrays: Ragged, draw: Draw | None, geometry: Tensor | None = None) -> Padded:
        """Values (B, T, 2), 0 beyond the lengths of the longer answer."""
        from mapsto.batch import Padded

        counts = tuple(arrays.lengths.tolist())
        values = torch.zeros(
            len(arrays), max(2, *counts) if counts else 2, 2, dtype=torch.int32, device=arrays.flat.device
        )
        place = torch.arange(len(arrays.flat), device=arrays.flat.device) - arrays.starts[arrays.row]
        values[arrays.row, place] = arrays.flat.view(-1, 2).int()
        return Padded(values, arrays.lengths, tuple(max(2, count) for count in counts))

    def present(self, arrays: Ragged) -> Tensor:
        return arrays.lengths > 0

    def show(self, value: Pair | None) -> str:
        if value is None:
            return "—"
        from mapsto.types.text.conversation import shown

        return f"{shown(value[0])}\n+ {shown(value[1])}\n− {shown(value[2])}"

    def said(self, name: str) -> str:
        """How it is read."""
        told = f"'{name}': a prompt and two answers, {self.most} tokens ({self.kind}) at once"
        return told + (
            f"; {self.cut:.0%} of the pairs are longer and lose the beginning of the prompt or the end of an"
            " answer"
            if self.cut
            else ""
        )

    @property
    def vocabulary_size(self) -> int:
        from mapsto.types.text.tokenizers import vocabulary_size

        return vocabulary_size(self.kind, self.codes, self.alphabet)

    def output(self, kind: str | None = None) -> Any:
        """As a margin between the two, whatever it is called in a record: runs say "chat", because they
        talk."""
        return super().output("margin")
