"""Data sets as numpy, read as short as it goes: what a reader of a tutorial would write."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np


def fashion(path: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """part "train" or "t10k" -> pictures (N, 28, 28) uint8, labels (N,)."""
    with zipfile.ZipFile(path) as archive:
        pictures = gzip.decompress(archive.read(f"{part}-images-idx3-ubyte.gz"))
        labels = gzip.decompress(archive.read(f"{part}-labels-idx1-ubyte.gz"))
    return np.frombuffer(pictures, np.uint8, offset=16).reshape(-1, 28, 28), np.frombuffer(
        labels, np.uint8, offset=8
    ).astype(np.int64)


def cifar(path: str, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """-> pictures (N, 32, 32, 3) uint8, labels (N,)."""
    import duckdb
    from PIL import Image

    rows = duckdb.sql(
        f"select image, label from read_parquet('{path}')" + (f" limit {most}" if most else "")
    ).fetchall()
    blobs = [cell["bytes"] if isinstance(cell, dict) else cell for cell, _ in rows]
    return np.stack([np.asarray(Image.open(io.BytesIO(blob)).convert("RGB")) for blob in blobs]), np.array(
        [int(label) for _, label in rows]
    )


def sst2(path: str) -> dict[str, tuple[list[str], np.ndarray]]:
    """{split: (texts, labels)}."""
    rows = [json.loads(line) for line in gzip.decompress(Path(path).read_bytes()).decode().splitlines()]
    splits = dict.fromkeys(row["split"] for row in rows)
    parts = {split: [row for row in rows if row["split"] == split] for split in splits}
    return {
        split: ([row["text"] for row in part], np.array([row["label"] for row in part]))
        for split, part in parts.items()
    }
