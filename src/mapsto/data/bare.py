"""Is what somebody hands over a cell, or rows of cells?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.types.audio import SUFFIXES

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")


def bare(item: Any, prose: bool) -> bool:
    """A value that is a cell rather than rows: a picture or a sound, its path, an array of two or three sides, samples with their rate; where
    cells are prose, every text that is no existing file and does not end like one."""
    if prose and isinstance(item, str):
        return not _names_file(item)
    if isinstance(item, (str, Path)):
        path = Path(item)
        return path.suffix.lower() in (*PICTURES, *SUFFIXES) and not path.is_dir()
    if isinstance(item, np.ndarray):
        return item.ndim in (2, 3)
    return isinstance(item, (bytes, int, float)) or _is_sound(item) or type(item).__module__.startswith("PIL.")


def is_column(value: Any) -> bool:
    """Cells of many rows rather than one: a list, tuple or array of one side."""
    return isinstance(value, (list, tuple, np.ndarray)) and not _is_sound(value) and len(np.shape(value)) == 1


def _is_sound(item: Any) -> bool:
    """(samples, rate)."""
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], np.ndarray) and isinstance(item[1], (int, float))


def all_bare(items: Sequence[Any], prose: bool) -> bool:
    """Several cells. One text among many may happen to be called like a file; where all are, they are files."""
    if prose and all(item is None or isinstance(item, str) for item in items):
        return not all(item is not None and _names_file(item) for item in items)
    return bool(items) and all(bare(item, prose) for item in items)


def _names_file(text: str) -> bool:
    if re.fullmatch(r"\S+\.(csv|tsv|jsonl|ndjson|json|parquet|conll|conllu|zip|tar|tgz|gz)", text.strip(), re.IGNORECASE):
        return True  # with a slip in it, it is still no text to be judged
    try:
        return bool(text.strip()) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long for a name, a NUL in it, nobody's home
        return False
