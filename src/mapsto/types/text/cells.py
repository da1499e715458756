"""Cells of texts: read, and told from those of other columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mapsto.cells import Apart, Blob, decoded, is_missing, shorten, sound
from mapsto.errors import CellError
from mapsto.types.number.numerals import values_of

PATH = re.compile(r"^[\w./\\: -]{0,250}\.\w{2,4}$")  # what looks like a file's name


def is_path(text: str) -> bool:
    return PATH.match(text) is not None


def prose_share(known: Sequence[Any]) -> float:
    """How sure it is that cells, none of them missing, are texts, 0 to 1 (`types.text`)."""
    cells = [cell for cell in known if isinstance(cell, str)]
    share = len(cells) / max(1, len(known))
    distinct = set(cells)
    if share <= 0.5 or (len(distinct) <= max(20, 0.3 * len(cells)) and len(cells) > 20):
        return 0.0
    if sum(value is not None for value in values_of(cells)) > 0.5 * len(cells) or sum(
        map(is_path, cells)
    ) > 0.5 * len(cells):
        return 0.0
    spaced = [cell.split() for cell in cells]
    if sum(map(len, spaced)) >= 2.5 * len(cells):
        pieces = [piece for cell in spaced for piece in set(cell)]
        return share * (0.82 if len(set(pieces)) < 0.9 * len(pieces) or len(cells) < 30 else 0.2)
    lengths = {len(cell) for cell in cells}
    mean, letters = sum(map(len, cells)) / len(cells), len(set("".join(cells)))
    unspaced = sum(map(len, spaced)) < 1.1 * len(cells)
    sequences = (
        unspaced and mean >= 10 and (letters <= 8 or (len(lengths) > 5 and len(distinct) > 0.5 * len(cells)))
    )
    return 0.75 * share if sequences else 0.0


def text_of(cell: Any) -> str | None:
    """A raw cell as a text; a list of words, or JSON's, keeps them apart. None where it is missing.
    CellError: neither."""
    if isinstance(cell, Apart):
        return cell
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, (list, tuple)):
        if wrong := [word for word in cell if not isinstance(word, str)]:
            raise CellError(
                f"expected a list of texts, got {type(wrong[0]).__name__} {shorten(wrong[0])} among"
                " them.\nGive texts, or one text."
            )
        return Apart([sound(word) for word in cell]) if cell else None
    if isinstance(cell, (bytes, Blob)):
        cell = decoded(cell)
    if isinstance(cell, str):
        return sound(cell) if cell.strip() else None
    return None if is_missing(cell) else str(cell)


def texts_of(value: str | None) -> tuple[str, ...]:
    """The references of a read cell: one text, or those of a list that are not blank; () where it is
    missing."""
    if isinstance(value, Apart):
        return tuple(text for text in value.words if text.strip())
    return () if value is None else (value,)
