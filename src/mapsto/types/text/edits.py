"""How many words, or letters, must be changed to make a text another one, counted by jiwer: what transcripts
are measured by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mapsto.errors import ConfigError


def jiwer() -> Any:
    """The library that counts wrong words. ConfigError: not installed."""
    try:
        import jiwer

        return jiwer
    except ImportError:
        raise ConfigError(
            "transcripts are measured by the library jiwer, which is not installed: pip install"
            ' "mapsto[audio]"'
        ) from None


def edits(true: Sequence[str], said: Sequence[str], letters: bool = False) -> np.ndarray:
    """(n, 2) float64: words (or letters) that must be changed, left out or put in to make what was said true,
    and how many the truth has."""
    if not len(true):
        return np.empty((0, 2))
    found = (jiwer().process_characters if letters else jiwer().process_words)(list(true), list(said))
    wrong = [
        sum(
            max(part.ref_end_idx - part.ref_start_idx, part.hyp_end_idx - part.hyp_start_idx)
            for part in row
            if part.type != "equal"
        )
        for row in found.alignments
    ]
    return np.array(
        [(count, len(reference)) for count, reference in zip(wrong, found.references, strict=True)],
        np.float64,
    )


def confused(true: Sequence[str], said: Sequence[str]) -> tuple[dict[str, int], Counter[tuple[str, str]]]:
    """({"substitute", "delete", "insert": words replaced, missed and made up}, how often which word was said
    for which)."""
    kinds, pairs = Counter({"substitute": 0, "delete": 0, "insert": 0}), Counter[tuple[str, str]]()
    if not len(true):
        return dict(kinds), pairs
    found = jiwer().process_words(list(true), list(said))
    for row, reference, heard in zip(found.alignments, found.references, found.hypotheses, strict=True):
        for part in row:
            if part.type != "equal":
                kinds[part.type] += max(
                    part.ref_end_idx - part.ref_start_idx, part.hyp_end_idx - part.hyp_start_idx
                )
            if part.type == "substitute":
                words = (
                    reference[part.ref_start_idx : part.ref_end_idx],
                    heard[part.hyp_start_idx : part.hyp_end_idx],
                )
                pairs.update(zip(*words, strict=True))
    return dict(kinds), pairs
