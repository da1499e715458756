"""Nets that each learn without one part of the rows: what is held back is held back, and what is promised by
it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mapsto
from mapsto.api import extend
from mapsto.errors import ConfigError
from mapsto.learners.bagged import Bagged, fold_keys
from mapsto.run import Run
from mapsto.steps.prepare import store_of

SMALL = "mlp(width=8, depth=1, members=2)"


def ignore(event: object) -> None:
    """Tell nobody."""


def table(rows: int = 200, seed: int = 0) -> list[dict[str, Any]]:
    """y is linear in x and z but for noise; who: ten rows each."""
    draw = np.random.default_rng(seed)
    x, z = draw.normal(size=(2, rows))
    y = 3 * x - 2 * z + draw.normal(scale=0.5, size=rows)
    return [{"x": x[i], "z": z[i], "y": y[i], "who": f"w{i // 10}"} for i in range(rows)]


def trained(data: Any, out: Path, signature: str = "x, z -> y:number", **options: Any) -> Run:
    return mapsto.train(data, signature, model=SMALL, out=out, emit=ignore, plan="default", **options)


def learner_of(run: Run) -> Bagged:
    learner = run.new_learner(
        run.model, store_of(run, lambda: pytest.fail("rows are encoded already"), ignore)
    )
    assert isinstance(learner, Bagged)
    return learner


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(table(), tmp_path_factory.mktemp("bagged"), steps=30)


def test_a_small_table_is_learned_by_folds_and_a_divided_one_is_not(run: Run, tmp_path: Path) -> None:
    rows = [{**row, "split": "validation" if i % 5 == 0 else "train"} for i, row in enumerate(table())]
    named = trained(rows, tmp_path, steps=1)
    in_time = trained(table(), tmp_path, steps=1, time="x")
    asked = trained(table(), tmp_path, steps=1, learner="supervised")

    assert run.choice.learner == "bagged"
    assert {one.choice.learner for one in (named, in_time, asked)} == {"supervised"}
    assert {one.choice.model_options.get("nets", 1) for one in (named, in_time, asked)} == {1}


def test_a_net_does_not_see_the_rows_of_its_fold(run: Run) -> None:
    learner = learner_of(run)
    batch = next(learner.batches("train", 0))
    fold = learner.folds[batch.rows.numpy()]
    other = torch.where(torch.from_numpy(fold == 2), batch.targets["y"] + 100.0, batch.targets["y"])

    def gradients(target: torch.Tensor) -> list[list[torch.Tensor]]:
        learner.model.zero_grad()
        batch.targets["y"] = target
        learner.loss(batch)[0][0].sum().backward()
        return [[p.grad.clone() for p in trunk.parameters()] for trunk in learner.bag.trunks]

    before, after = gradients(batch.targets["y"]), gradients(other)
    moved = [not all(map(torch.equal, a, b)) for a, b in zip(before, after, strict=True)]
    assert moved == [True, True, False, True, True]


def test_every_row_is_held_out_once(run: Run) -> None:
    learner = learner_of(run)
    found = learner.measure("validation")
    counts = run.record["rows"]
    assert len(found) == learner.size("train") == counts["train"] + counts["validation"]
    at = 7
    row = int(found.rows[at])
    batch = learner.store.batch(np.array([row]))
    nets = learner.bag.net(int(learner.folds[row]), batch.inputs)
    lines = learner.bag.line(int(learner.folds[row]), batch.inputs)
    with torch.no_grad():
        output = learner.bag.mixed(nets, {"y": lines["y"][:, None].expand_as(nets["y"])})["y"]
        said = dict(learner.bag.heads.items())["y"].predict(output)["value"]
    assert found.sample.predicted["y"]["value"][at] == pytest.approx(float(said), rel=1e-4)


def test_rows_of_one_group_share_a_fold_and_keep_it_when_rows_are_added(tmp_path: Path) -> None:
    run = trained(table(), tmp_path, "x, z -> y:number", steps=1, group="who")
    learner = learner_of(run)
    of = [
        learner.folds[rows]
        for i in range(20)
        if (rows := np.arange(10 * i, 10 * i + 10)).max() < len(learner.folds)
    ]
    assert all(len(set(fold)) == 1 for fold in of)
    apart = learner_of(trained(table(), tmp_path, steps=1))
    rows = apart.rows
    assert (fold_keys(apart.store, rows[:50]) == fold_keys(apart.store, rows)[:50]).all()


def test_where_the_data_is_linear_the_lines_weigh_and_the_net_does_not_lose(run: Run) -> None:
    figures = run.metrics
    linear = figures["baselines"]["y"]["linear"]["r2"]["value"]
    assert run.model.share[0] > 0.3
    assert figures["test"]["y"]["r2"]["value"] > linear - 0.01 > 0.9


def test_intervals_learned_out_of_fold_hold_nine_in_ten(tmp_path: Path) -> None:
    new = table(1000, seed=1)
    inside = []
    for seed in range(3):
        run = trained(table(120, seed=10 + seed), tmp_path, steps=60, seed=seed)
        said = run.predict(new)
        inside += [
            one.predictions["y"].low <= row["y"] <= one.predictions["y"].high
            for one, row in zip(said, new, strict=True)
        ]
    assert 0.85 < np.mean(inside) < 0.95


def test_the_first_look_is_kept_where_learning_makes_it_worse(tmp_path: Path) -> None:
    run = trained(table(), tmp_path, steps=20, lr=5.0, metric="r2")
    assert run.metrics["test"]["y"]["r2"]["value"] > 0.9
    looks = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert looks[0]["step"] == 0


def test_learning_on_with_many_more_rows_keeps_net_and_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(table(120), tmp_path, steps=5)
    before = learner_of(run).folds
    monkeypatch.setattr("mapsto.recipes.tables.FEW", 100)  # now it would be no small table
    longer = extend(run.path, table(200, seed=3), before=table(120), steps=5, emit=ignore)
    after = learner_of(longer).folds
    assert longer.choice.model_options == run.choice.model_options
    assert (after[: len(before)][before >= 0] == before[before >= 0]).all()


def test_a_learner_that_weighs_no_lines_gets_none(tmp_path: Path) -> None:
    place = tmp_path / "plain.py"
    place.write_text("from mapsto.learners.supervised import Supervised\n\n\nclass Plain(Supervised):\n    weighs_lines = False\n")
    how = {"steps": 1, "out": tmp_path, "emit": ignore, "plan": "default", "learner": str(place)}
    rows = [{"text": f"word {i % 7} of {i}", "y": float(i % 7)} for i in range(60)]

    run = mapsto.train(rows, "text:text -> y:number", **how)
    with pytest.raises(ConfigError, match="line=true would change nothing"):
        mapsto.train(rows, "text:text -> y:number", model="textcnn(line=true)", **how)

    assert not run.choice.model_options["line"]
