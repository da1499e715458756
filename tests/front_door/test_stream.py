"""A stream from the front door: rows that never end, measured on the first of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import mapsto
from mapsto.batch import key

pytestmark = pytest.mark.usefixtures("one_thread")


def rows() -> Iterator[dict]:
    """Two numbers, and whether they have the same sign."""
    for number in count():
        a, b = np.random.default_rng(key("stream", number)).normal(size=2).round(4).tolist()
        yield {"a": a, "b": b, "side": "same" if a * b > 0 else "other"}


def test_rows_that_never_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.data.formats.stream.HEAD", 800)
    run = mapsto.train(rows, "a, b -> side", model="mlp(width=32, depth=2, members=2)", lr=5e-3, batch=64, steps=120, threads=1, out=tmp_path,
                       emit=lambda event: None)
    assert run.record["rows"] == {"train": 0, "validation": 120, "test": 160}
    assert run.metrics["test"]["side"]["accuracy"]["value"] > 0.8       # half of them are the same
    answer = mapsto.load(run.path).predict({"a": 1.0, "b": 1.2})
    assert answer.predictions["side"].value == "same"
