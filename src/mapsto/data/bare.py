"""Is what somebody hands over a cell, or rows of cells?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def bare(item: Any, prose: bool) -> bool:
    """A value that is a cell rather than rows: a picture, its path, an array of two or three sides; where cells are prose, every text
    that is no existing file and does not end like one."""
    if prose and isinstance(item, str):
        return not _names_file(item)
    if isinstance(item, (str, Path)):
        path = Path(item)
        return (
            path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm") and not path.is_dir()
        )
    return isinstance(item, (bytes, int, float)) or type(item).__module__.startswith("PIL.") or (isinstance(item, np.ndarray) and item.ndim in (2, 3))


def all_bare(items: Sequence[Any], prose: bool) -> bool:
    """Several cells. One text among many may happen to be called like a file; where all are, they are files."""
    if prose and all(item is None or isinstance(item, str) for item in items):
        return not all(item is not None and _names_file(item) for item in items)
    return bool(items) and all(bare(item, prose) for item in items)


def _names_file(text: str) -> bool:
    if re.fullmatch(r"\S+\.(csv|tsv|jsonl|ndjson|json|parquet|zip|tar|tgz|gz)", text.strip(), re.IGNORECASE):
        return True  # with a slip in it, it is still no text to be judged
    try:
        return bool(text.strip()) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long for a name, a NUL in it, nobody's home
        return False
