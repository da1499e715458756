"""Pairs of answers of which people prefer one (`mapsto.types.preference`): a pair checked, and columns of
answers made one of pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.errors import CellError
from mapsto.source import Chunk, Source
from mapsto.types.text.conversation import Messages, in_order, messages_of

Pair = tuple[Messages, Messages, Messages]  # the prompt's messages, and those of each answer


def _part(cell: Mapping[str, Any], name: str) -> Messages:
    try:
        return messages_of(cell.get(name), "user" if name == "prompt" else "assistant") or ()
    except CellError as problem:
        raise CellError(f"{name}: {problem}") from None


def side_by_side(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) and (m,) -> (max(n, m), 2)."""
    found = np.zeros((max(len(a), len(b)), 2), np.int32)
    found[: len(a), 0], found[: len(b), 1] = a, b
    return found


@dataclass
class WithPairs(Source):
    """A source with one column more, whose cells hold those of the others by name."""

    inner: Source | None = None
    parts: Sequence[str] = ()

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        assert self.inner is not None
        for chunk in self.inner.chunks(size):
            cells = {name: chunk.columns[name] for name in self.parts if name in chunk.columns}
            joined = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
            yield Chunk(
                {**chunk.columns, **dict.fromkeys(self.made, joined)}, chunk.where, chunk.split, chunk.bad
            )

    def lines(self) -> Source:
        return self

    def tested_elsewhere(self) -> Source:
        return self


def with_pairs(source: Source, column: str, parts: Sequence[str]) -> Source:
    """The source with a column of pairs, where `parts` of it (all but the first are there) are answers;
    else as it came."""
    head = next(iter(source.chunks(64)), None)
    if head is None or not all(_may_be_answer(cell) for name in parts[1:] for cell in head.columns[name]):
        return source
    return WithPairs(
        name=source.name,
        columns=(*source.columns, column),
        fingerprint=source.fingerprint,
        locations=source.locations,
        guess=source.guess or f"-> {column}",
        said=[
            *source.said,
            (
                f"columns {', '.join(name for name in parts if name in source.columns)} make pairs"
                f" of answers: '{column}'"
            ),
        ],
        divided=source.divided,
        untyped=source.untyped,
        made=(column,),
        inner=source,
        parts=tuple(parts),
    )


def _may_be_answer(cell: Any) -> bool:
    return cell is None or isinstance(cell, (str, list, tuple)) or type(cell).__name__ == "ndarray"


def pair_of(cell: Mapping[str, Any], parts: Sequence[str]) -> Pair | None:
    """As `Preference.read` gives it, of a cell that holds the parts by name."""
    found = [_part(cell, name) for name in parts]
    prompt, chosen, rejected = found
    if not chosen and not rejected:
        return None
    if not chosen or not rejected:
        raise CellError(
            f"the {'chosen' if rejected else 'rejected'} answer is missing.\nGive both, or leave the row out."
        )
    if chosen[0][0] != "assistant" or rejected[0][0] != "assistant":  # whole conversations
        same = next(
            (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b),
            min(len(chosen), len(rejected)),
        )
        prompt, chosen, rejected = chosen[:same], chosen[same:], rejected[same:]
    if chosen == rejected:
        raise CellError(
            "the chosen answer is the rejected one, so nothing can be learned from them.\nLeave the row out."
        )
    if not prompt:
        raise CellError(
            "expected a prompt, or conversations that begin alike, found none.\nName the column 'prompt',"
            " or put it into both."
        )
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        if not answer or in_order((*prompt, *answer))[-1][0] != "assistant" or answer[0][0] != "assistant":
            raise CellError(
                f"the {name} answer is no answer of the assistant's.\nBoth follow the prompt, and end"
                " with the assistant's words."
            )
    return prompt, chosen, rejected
