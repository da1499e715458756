"""How much of answers stands in what they answer, by which it is decided whether tokens are copied from there
(`mapsto.models._copying`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from mapsto.errors import CellError
from mapsto.types.text.cells import text_of, texts_of

Pairs = Iterable[tuple[Any, Any]]  # raw cells: an answer, and what it answers

# Share of an answer's words that stand in what it answers, from which tokens are copied: .76 of summaries of
# papers (SciTLDR), .57 of worked sums (GSM8K), .05 of translations (Multi30k).
COPIED = 0.6
WORD = re.compile(r"\w+")


def may_be_copied(asked: bool | None, pairs: Callable[[], Pairs]) -> bool:
    """asked: None leaves it to the pairs."""
    return share_copied(pairs()) >= COPIED if asked is None else asked


def share_copied(pairs: Pairs) -> float:
    """Of the words of answers, the share that stand in what they answer. Cells that are no texts count
    for nothing."""
    words = there = 0
    for answer, source in pairs:
        try:
            texts, whole = texts_of(text_of(answer)), text_of(source)
        except CellError:
            continue
        known = set(WORD.findall((whole or "").lower()))
        said = [word for text in texts for word in WORD.findall(text.lower())]
        words, there = words + len(said), there + sum(word in known for word in said)
    return there / max(1, words)
