"""Answers are of the kind of the column that they were learned from: numbers and truth values, not their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mapsto
from mapsto.cells import Column
from mapsto.cli import main
from mapsto.run import Run
from mapsto.types.categories import Categories
from mapsto.types.category import Category

pytestmark = pytest.mark.usefixtures("without_reports", "one_thread")

X = np.random.default_rng(0).normal(size=120)


def ignore(event: object) -> None:
    """Tests read results, not progress."""


def trained(frame: Any, signature: str, out: Path) -> Run:
    return mapsto.train(frame, signature, steps=8, model="mlp(width=8,depth=1)", out=out, emit=ignore)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of x: is it above 0, as a whole number and as a truth value."""
    frame = pd.DataFrame({"x": X, "number": (X > 0).astype(int), "truth": X > 0})
    return trained(frame, "x -> number:category, truth:category", tmp_path_factory.mktemp("kinds"))


@pytest.mark.parametrize(
    ("cells", "answers"),
    [
        ([0, 1, 1], (0, 1)),
        ([np.int8(3), np.int8(10)], (3, 10)),
        ([0.0, 1.0], (0.0, 1.0)),
        ([0.5, 1], (0.5, 1.0)),
        ([True, False], (False, True)),
        (["0", "1", " 1"], (0, 1)),
        (["0.0", "1.0"], (0.0, 1.0)),
        (["True", "False"], (False, True)),
        (["true", "false"], ("false", "true")),  # would be written otherwise
        (["007", "012"], ("007", "012")),
        (["1.50", "2.50"], ("1.50", "2.50")),
        (["1", "2", "other"], ("1", "2", "other")),
        ([1, "other"], ("1", "other")),
    ],
)
def test_classes_are_answered_as_their_column_wrote_them(cells: list[Any], answers: tuple[Any, ...]) -> None:
    made = Category().as_written(Column("y", cells, "output", untyped=isinstance(cells[0], str)), "output")
    values = [made.read(cell) for cell in cells]
    fitted = made.fit(values, {"side": "output", "distinct": values})
    assert fitted.answers == answers and list(map(type, fitted.answers)) == list(map(type, answers))
    assert type(fitted).from_json(json.loads(json.dumps(fitted.to_json()))).answers == answers


def test_text_of_what_knows_kinds_stays_text(tmp_path: Path) -> None:
    rows = {"x": X.tolist(), "y": [str(int(x > 0)) for x in X]}
    pl.DataFrame(rows).write_parquet(tmp_path / "t.parquet")
    for data in (rows, tmp_path / "t.parquet"):
        run = trained(data, "x -> y:category", tmp_path / "runs")
        assert run.predict({"x": 9.0}).predictions["y"].value in ("0", "1")
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    run = trained(tmp_path / "t.csv", "x -> y:category", tmp_path / "runs")
    assert type(run.predict({"x": 9.0}).predictions["y"].value) is int


def test_a_class_of_another_kind_that_comes_later_makes_all_text() -> None:
    fitted = Category().as_written(Column("y", [1, 2], "output"), "output").fit(["1", "2"], {"side": "output"})
    more = fitted.fit(["1", "none of them"], {"side": "output"})
    assert fitted.answers == (1, 2) and more.answers == ("1", "2", "none of them")


def test_a_type_of_an_earlier_record_answers_text() -> None:
    earlier = Category(side="output", vocabulary=("0", "1"), counts=(1, 1), whole=True).to_json()
    del earlier["kind"]
    assert Category.from_json(earlier).answers == ("0", "1")


@pytest.mark.parametrize(
    ("classes", "cell", "code"),
    [
        (("0", "1", "unknown"), "0.0", 0),
        (("0", "1", "unknown"), 1.0, 1),
        (("false", "true"), 1, 1),
        (("false", "true"), "0.0", 0),
        (("False", "True"), True, 1),
        (("0", "1"), False, 0),
    ],
)
def test_a_class_is_known_however_it_is_written(classes: tuple[str, ...], cell: Any, code: int) -> None:
    fitted = Category().fit(classes, {"side": "output", "distinct": classes})
    codes, problems = fitted.encode_column([cell])
    assert codes.tolist() == [code] and not problems


def test_true_is_no_third_class_among_numbers() -> None:
    fitted = Category().fit(["0", "1", "2"], {"side": "output"})
    assert fitted.encode_column([True])[1]  # what it means is not known


def test_labels_that_are_numbers_are_answered_as_numbers() -> None:
    cells = [[1], [1, 3], [0, 2], []]  # [1] is no row of 0 and 1 here
    made = Categories().as_written(Column("y", cells, "output"), "output")
    fitted = made.fit([made.read(cell) for cell in cells], {"side": "output"})
    assert fitted.answers == (0, 1, 2, 3) and fitted.classes == ("0", "1", "2", "3")
    assert fitted.encode_column(cells)[0].tolist() == [[0, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_rows_of_0_and_1_are_no_numbers() -> None:
    made = Categories().as_written(Column("y", [[0, 1], [1, 1]], "output"), "output")
    assert made.fit([made.read([0, 1])], {"side": "output"}).answers == ("0", "1")


def test_a_run_answers_in_python_as_its_frame_did(both: Run) -> None:
    found = both.predict(pd.DataFrame({"x": X}))
    numbers = [answer.predictions["number"].value for answer in found]
    truths = [answer.predictions["truth"].value for answer in found]
    assert set(map(type, numbers)) == {int} and set(map(type, truths)) == {bool}
    assert sum(answer == true for answer, true in zip(truths, X > 0, strict=True)) > 60
    others = both.evaluate(pd.DataFrame({"x": X, "number": X > 0, "truth": (X > 0).astype(float)}))
    assert others["truth"]["accuracy"]["n"] == others["number"]["accuracy"]["n"] == 120
    first = found[0].predictions["number"]
    assert first.detail["probabilities"][first.value] == first.probability


def test_files_of_answers_hold_numbers(both: Run, tmp_path: Path) -> None:
    pd.DataFrame({"x": X}).to_csv(tmp_path / "new.csv", index=False)
    for name in ("answers.csv", "answers.jsonl", "answers.parquet"):
        assert main(["predict", str(both.path), str(tmp_path / "new.csv"), "--out", str(tmp_path / name)]) == 0
    line = json.loads((tmp_path / "answers.jsonl").read_text().splitlines()[0])
    assert type(line["number"]) is int and type(line["truth"]) is bool
    table = pl.read_parquet(tmp_path / "answers.parquet")
    assert table["number"].dtype == pl.Int64 and table["truth"].dtype == pl.Boolean
    assert pd.read_csv(tmp_path / "answers.csv")["number"].tolist() == table["number"].to_list()
