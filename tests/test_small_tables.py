"""What is said of small tables, their baselines and their figures is true of the rows that were learned."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mapsto
from mapsto.api import extend
from mapsto.assess import confusion, dependence, thresholds
from mapsto.assess._ask import view_on
from mapsto.batch import Ragged
from mapsto.blocks import Bars, Lines
from mapsto.cli import main
from mapsto.errors import ConfigError
from mapsto.measure.baseline import Features, answers
from mapsto.measure.scores import score
from mapsto.metrics.numbers import REGRESSION
from mapsto.models.base import parameters_of
from mapsto.outputs.classes import Classes
from mapsto.outputs.labels import Labels
from mapsto.outputs.regression import Regression
from mapsto.report import decisions, facts
from mapsto.run import Run
from mapsto.terminal.narrow import fitting, wrapped
from mapsto.terminal.results import table as results
from mapsto.types.categories import Categories
from mapsto.types.category import Category
from mapsto.types.number import Number
from mapsto.types.text import Text

pytestmark = pytest.mark.usefixtures("without_reports", "one_thread")
BAG, NET = "mlp(width=8, depth=1, members=2, nets=2, line=true)", "mlp(width=8, depth=1, members=2, nets=1)"


def rows(count: int = 120, seed: int = 0) -> list[dict[str, Any]]:
    """y is linear in x; kind: is it above 0?"""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=count)
    y = x + draw.normal(scale=0.5, size=count)
    return [{"x": a, "y": b, "kind": "up" if b > 0 else "down"} for a, b in zip(x.tolist(), y.tolist(), strict=True)]


def train(out: Path, signature: str, data: Any = None, **options: Any) -> tuple[Run, list[dict[str, Any]]]:
    """A run, and what was told meanwhile."""
    told: list[dict[str, Any]] = []
    how = {"model": NET, "steps": 2, "plan": "default"} | options
    return mapsto.train(rows() if data is None else data, signature, out=out, emit=told.append, **how), told


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory, without_reports: None) -> tuple[Run, list[dict[str, Any]]]:
    """One net that no step moves."""
    return train(tmp_path_factory.mktemp("still"), "x -> y:number", lr=1e-60)


def test_a_run_says_which_rows_it_and_its_baselines_learned_from(
    still: tuple[Run, list[dict[str, Any]]], tmp_path: Path
) -> None:
    bag, told = train(tmp_path, "x -> y:number", model=BAG)
    one, told_of_one = still

    counts = bag.record["rows"]
    learned = counts["train"] + counts["validation"]
    assert results(told[-1])[-1] == f"net and baselines learned from {learned} rows: train and validation"
    assert f"{learned} to learn from and, by nets that had not seen them, to choose by, " in facts.data(bag, True).headline
    assert "on rows that each net had not seen" in str(decisions.decided(bag))
    assert "learned_from" not in told_of_one[-1]
    assert f"{counts['train']} to learn from, {counts['validation']} to choose by" in facts.data(one, True).headline
    assert "on validation rows" in str(decisions.decided(one))

    edges, solved = (parameters_of(bag.model, mark) for mark in ("at_edge", "solved"))
    assert {name.split(".")[0] for name in edges} == {"trunks", "heads", "lines"}
    assert all(".stems." in name or ".heads." in f".{name}" for name in edges)
    assert any(".stems." in name for name in edges) and any(name.startswith("heads.") for name in edges)
    assert solved == {name for name, _ in bag.model.named_parameters() if name.startswith("lines.")} != set()


@pytest.mark.parametrize("labels", [False, True])
def test_weights_of_rows_count_in_every_baseline(labels: bool) -> None:
    draw = np.random.default_rng(0)
    values, target = draw.normal(size=(200, 2)), np.arange(200) % 2
    weight = np.where(target == 1, 9.0, 1.0)
    output = Labels(Categories(vocabulary=("up",))) if labels else Classes(Category(vocabulary=("down", "up")))
    truth = target[:, None] if labels else target
    plain = Features(values, truth, np.ones(200, bool))

    even = answers(plain, plain, output)
    heavy = answers(dataclasses.replace(plain, weight=weight), plain, output)

    assert set(heavy) == {output.trivial, "linear", "nearest", "boosting"}
    for name in heavy:
        assert abs(even[name]["probability"][:, -1].mean() - 0.5) < 0.05, name
        assert 0.8 < heavy[name]["probability"][:, -1].mean() < 0.95, name
    known = dataclasses.replace(plain, weight=np.where(np.arange(200) < 100, 0.0, 1.0))
    half = Features(values[100:], truth[100:], np.ones(100, bool))
    np.testing.assert_array_equal(
        answers(known, plain, output)["linear"]["probability"], answers(half, plain, output)["linear"]["probability"]
    )


def test_a_number_without_a_finite_value_bends_no_line() -> None:
    values = np.arange(60.0)[:, None]
    target = np.where(np.arange(60) % 10 == 0, np.inf, 3 * values[:, 0])
    plain = Features(values, target, np.ones(60, bool))

    found = answers(plain, plain, Regression(Number()))["linear"]["value"]

    np.testing.assert_allclose(found, 3 * values[:, 0], atol=0.5)


def test_figures_of_baselines_are_of_all_folds_together_as_those_of_the_net_are(tmp_path: Path) -> None:
    run, told = train(tmp_path, "x -> kind", data=rows(60), folds=2)

    parts = [Run.open(path) for path in sorted((run.path / "folds").iterdir())]
    beside, counts = run.metrics["baselines"]["kind"], [part.record["rows"]["test"] for part in parts]
    assert {one["n"] for scores in beside.values() for one in scores.values()} == {sum(counts)} == {60}
    for name, scores in beside.items():
        known = [part.metrics["baselines"]["kind"][name]["accuracy"]["value"] for part in parts]
        assert scores["accuracy"]["value"] == pytest.approx(np.average(known, weights=counts)), name
        assert 0 < scores["auc"]["low"] < scores["auc"]["value"] < scores["auc"]["high"], name
        assert scores["auc"]["definition"] == parts[0].metrics["test"]["kind"]["auc"]["definition"]
    assert told[-1]["baselines"] == {"kind": beside}


def test_learning_on_that_changes_nothing_says_so(still: tuple[Run, list[dict[str, Any]]], tmp_path: Path) -> None:
    run, _ = still
    solved, _ = train(tmp_path, "x -> y:number", model="baseline", steps=None)
    told: list[dict[str, Any]] = []

    extend(run.path, steps=1, emit=told.append, before=rows())
    extend(solved.path, emit=told.append, before=rows())

    notes = [event["text"] for event in told if event["event"] == "note"]
    assert notes[1] == "nothing changed: its model is solved from its rows, and they say the same; add some with --data"
    assert notes[0] == "nothing changed: no step made the weights better on validation rows; they are those it had"


def test_a_linear_model_that_no_row_weighs_is_told_of(tmp_path: Path) -> None:
    said = "no validation rows say how much the linear model beside the net counts, so it counts nothing"
    few = [{**row, "who": i % 3} for i, row in enumerate(rows(30))]  # three groups: none is held back

    one, _ = train(tmp_path, "x -> kind", data=few, model="mlp(width=8, line=true)", learner="supervised", group="who")

    assert not one.record["rows"]["validation"] and any(said in sentence for sentence in one.record["said"])


def test_a_run_of_numbers_draws_its_validation_loss_and_tells_one_time_and_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, told = train(tmp_path, "x, z -> y:number", data=[{**row, "z": 3.0} for row in rows()], keep="z", steps=4)

    curves = facts.curves(run)
    assert curves is not None
    (loss, *_), figures = curves.blocks, run.metrics["validation"]["y"]
    assert [line.name for line in loss.lines][1] == "validation loss"
    std, best = run.types["output", "y"].std, run.record["best_step"]
    at = [entry["step"] for entry in run.history].index(best)
    assert loss.lines[1].y[at] == pytest.approx((figures["rmse"]["value"] / std) ** 2, rel=1e-3)
    assert run.record["seconds"] == told[-1]["seconds"] == pytest.approx(sum(one["seconds"] for one in run.record["cost"]["phases"].values()), abs=0.01)
    assert facts.weights(run)[0] == sum(value.numel() for value in run.model.parameters())
    assert run.types["input", "z"].about() == "always 3" and run.types["input", "x"].about().startswith("mean ")
    asked = view_on(run)
    assert confusion.assess(asked, 1.0).title == "How far are its answers from the truth?"

    path = tmp_path / "new.csv"
    path.write_text("x,z\n1,3\n2,3\n0.5,3\n")
    main(["embed", str(run.path), str(path), "--out", str(tmp_path / "v.npy")])

    vectors = np.load(tmp_path / "v.npy")
    assert vectors.shape == (3, 8) and np.allclose(vectors, run.embed(str(path)))
    assert capsys.readouterr().err.strip() == f"{tmp_path / 'v.npy'}: 3 rows of 8 numbers, float32"


def test_of_few_rows_no_interval_is_told() -> None:
    value, truth = np.array([1.0, 2.5, 3.0, 5.0, 4.0]), np.arange(5.0)
    few, enough = (score(REGRESSION, {"value": value[:n]}, truth[:n], np.ones(n, bool)) for n in (4, 5))

    assert few["mae"]["low"] is None and few["mae"]["value"] is not None and enough["mae"]["low"] is not None
    event = {"test": {"y": few}, "baselines": {}}
    assert results(event)[-1].split() == ["95%", "interval", *(["too", "few", "rows"] * 3)]


def test_dependence_names_dates_and_asks_of_missing_cells(tmp_path: Path) -> None:
    day = datetime.date(2020, 1, 1)
    data = [
        {**row, "on": (day + datetime.timedelta(i)).isoformat(), "x": None if i % 5 == 0 else row["x"]}
        for i, row in enumerate(rows())
    ]
    run, _ = train(tmp_path, "x, on -> y:number", data=data)

    section = dependence.assess(view_on(run), 1.0)

    lines, bars = sorted(section.blocks, key=lambda block: isinstance(block, Bars))
    assert isinstance(lines, Lines) and "Where it is missing: " in lines.caption and None not in lines.lines[0].x
    assert isinstance(bars, Bars) and all(label.startswith("2020-0") and len(label) == 10 for label in bars.labels)
    curves = section.figures["y"]["curves"]
    assert curves["x"]["grid"][-1] is None and None not in curves["on"]["grid"]
    assert "on" not in section.headline or "2020-0" in section.headline


def test_a_narrow_terminal_shows_whole_tables_and_whole_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "58")
    names = ("accuracy", "balanced_accuracy", "f1", "auc", "log_loss")
    scores = {name: {"value": 0.5, "low": 0.25, "high": 0.75, "n": 154} for name in names}
    event = {"test": {"y": scores}, "baselines": {"y": {"boosting": scores}}}

    shown = results(event)

    assert max(map(len, shown)) <= 58 and all(any(name in line for line in shown) for name in names)
    sentence = "  x0:number, x1:number, x2:number, x3:number, x4:number -> y:category"
    assert wrapped(sentence, 58) == ["  x0:number, x1:number, x2:number, x3:number, x4:number ->", "    y:category"]
    for whole in (f"predict with: mapsto predict {'r' * 60} FILES", f"report: {'r' * 60}"):
        assert wrapped(whole, 58) == [whole]
    assert fitting("step 2/9  loss 0.5  validation auc 0.7  9 rows/s  5 s left", 44) == "step 2/9  loss 0.5  5 s left"


def test_the_positive_class_is_the_one_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = train(tmp_path, "x -> kind", positive="up")
    asked = thresholds.assess(view_on(run), 1.0)
    assert asked.figures["kind"]["positive"] == "up" and asked.headline.startswith("'up', asked for, is ranked above")

    main(["assess", str(run.path), "thresholds", "--positive", "down"])
    wrong = main(["assess", str(run.path), "thresholds", "--positive", "dwn"])

    told = capsys.readouterr()
    assert "'down', asked for, is ranked above 'up'" in " ".join(told.out.split())
    assert wrong == 2 and "--positive dwn: no output of two classes has this one.\ndid you mean 'down'?" in told.err
    with pytest.raises(ConfigError, match="no output of two classes has this one"):
        train(tmp_path, "x -> y:number", positive="up")


def test_byte_pairs_make_texts_they_were_learned_from_no_shorter_than_others() -> None:
    draw = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnop"))
    texts = [" ".join("".join(draw.choice(letters, 6)) for _ in range(draw.integers(4, 12))) for _ in range(240)]
    column_type = Text(tokenizer="bpe", max=200).fit(texts[:200], {"side": "input", "rows": 200, "name": "src"})
    learned, others = (
        Ragged.of([torch.from_numpy(cell) for cell in column_type.encode_all(some)]) for some in (texts[:200], texts[200:])
    )

    lengths = [column_type.summary_stats(arrays)["length"] for arrays in (learned, others)]

    tokens = [column_type.steps(arrays).mean() for arrays in (learned, others)]
    assert tokens[1] > 1.5 * tokens[0]  # what made 'length' drift where nothing had
    assert [*lengths[0], *lengths[1]] == [len(text) for text in texts]
