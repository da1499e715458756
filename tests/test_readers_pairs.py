"""Arrays (X, y), and lists of (cell, label)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import polars as pl
import pytest
import torch

from mapsto.config import Reading
from mapsto.data.open import open_source
from mapsto.data.resolve import asked as asked_signature
from mapsto.errors import DataError
from mapsto.source import table_of
from mapsto.steps.rows import scanned
from mapsto.testing.readers import check_reader
from mapsto.types.categories import Categories

N = 60
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(N, 2))
Y = np.array(["a", "b", "b"] * (N // 3))
PICTURES = DRAW.integers(0, 255, (N, 8, 8), dtype=np.uint8)
SCORES = DRAW.normal(size=N)


@pytest.mark.parametrize(
    ("data", "signature"),
    [
        ((X, Y), "column_1:number, column_2:number -> target:category"),
        ([X, Y[:, None]], "column_1:number, column_2:number -> target:category"),
        ((X.tolist(), Y.tolist()), "column_1:number, column_2:number -> target:category"),
        ((torch.from_numpy(X), torch.from_numpy(SCORES)), "column_1:number, column_2:number -> target:number"),
        ((pd.DataFrame(X, columns=["wide", "tall"]), pd.Series(Y, name="kind")), "wide:number, tall:number -> kind:category"),
        ((pl.DataFrame({"wide": X[:, 0], "target": X[:, 1]}), pl.Series("", Y)), "wide:number, target:number -> target_2:category"),
        ((PICTURES, Y), "image -> category"),
        ((np.stack([PICTURES] * 3, 3), np.arange(N) % 3), "image -> category"),
        ((PICTURES, SCORES), "image -> target:number"),
        ([(picture, label) for picture, label in zip(PICTURES, Y, strict=True)], "image -> category"),
        ([(PIL.Image.fromarray(picture), int(i % 2)) for i, picture in enumerate(PICTURES)], "image -> category"),
        (tuple((picture, score) for picture, score in zip(PICTURES, SCORES.tolist(), strict=True)), "image -> target:number"),
        ([(f"it was a {'good' if i % 2 else 'bad'} day in year {i}", i % 2) for i in range(N)], "text -> category"),
    ],
    ids=["arrays", "list", "lists", "tensors", "pandas", "polars", "pictures", "colours", "scores", "pairs", "pillow", "numbers", "texts"],
)
def test_arrays_and_pairs_are_columns(data: Any, signature: str) -> None:
    source = check_reader("pairs", data)
    found, _ = asked_signature(None, source, Reading())
    assert str(scanned(source, found, Reading())[0]) == signature
    assert sum(map(len, open_source(data).chunks())) == N


def test_an_array_alone() -> None:
    assert open_source(X).columns == ("column_1", "column_2") and open_source(PICTURES).columns == ("image",)
    assert table_of(open_source(X))["column_2"] == X[:, 1].tolist()
    assert open_source((X, X)).columns == ("column_1", "column_2", "target_1", "target_2")


def test_arrays_of_unequal_length_are_refused() -> None:
    with pytest.raises(DataError, match="X and y of equal length, got 60 and 59 rows"):
        open_source((X, Y[1:]))


@pytest.mark.parametrize("data", [(), [], (1, 2), [[1, 2], [3, 4]], np.zeros(3), [("a",)], object()], ids=lambda data: type(data).__name__)
def test_what_is_none_of_these_is_refused(data: Any) -> None:
    with pytest.raises(DataError, match=r"or arrays \(X, y\), got"):
        open_source(data)


@pytest.mark.parametrize("cell", ["[]", "{}", "()", "[ ]"])
def test_an_empty_list_of_labels_is_no_missing_one(cell: str, tmp_path: Any) -> None:
    (tmp_path / "t.csv").write_text("x,tags\n" + "".join(f"{i},\"{tags}\"\n" for i, tags in enumerate(["['a', 'b']", cell, "", "['b']"] * 10)))
    source = open_source(tmp_path / "t.csv")
    found, _ = asked_signature("x -> tags", source, Reading())
    signature, scan, _ = scanned(source, found, Reading(), asked="x -> tags")
    assert signature.outputs[0].type == "categories"
    tags = Categories().as_written(scan.column("tags"), "output")
    assert [tags.read(written) for written in (cell, "", "['b']")] == [(), None, ("b",)]
