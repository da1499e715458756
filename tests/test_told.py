"""What is told of a training before it, and of rows that were left out after it, is what happens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

import mapsto
from mapsto import api
from mapsto.cli import main
from mapsto.config import settings_of
from mapsto.look import look
from mapsto.training.plan import Plan, forecast


def seconds(left: float, by_clock: bool = False, **plan: Any) -> float | None:
    timed = replace(Plan(device="cpu", micro_batch=32), **plan)
    return forecast(timed, nn.Linear(2, 2), False, 100, left, by_clock)["seconds"]


def test_a_forecast_is_never_nothing() -> None:
    inf = float("inf")
    assert seconds(inf, seconds_per_micro=0.02) == pytest.approx(2.2)
    assert seconds(inf, seconds_per_micro=0.02, compile_seconds=30.0) == pytest.approx(32.2)
    assert seconds(1.0, seconds_per_micro=0.02) == 1.0
    assert seconds(120.0, by_clock=True, seconds_per_micro=1e-6) == 120.0, "minutes last as long as they are"
    assert seconds(120.0) == 120.0 and seconds(inf) is None, "no step was timed"


def test_rows_that_cannot_be_read_are_counted_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], without_reports: None
) -> None:
    table, asked = tmp_path / "t.csv", tmp_path / "asked.csv"
    table.write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(60)))
    asked.write_text("x,y\n100,200\n101,202\n102,many\n")
    run = mapsto.train(table, "x:number -> y:number", steps=2, model="linear", plan="default", out=tmp_path, emit=lambda event: None)
    assert main(["evaluate", str(run.path), str(asked), "--json"]) == 0
    told = capsys.readouterr()
    assert {figures["unread"] for figures in json.loads(told.out)["y"].values()} == {1}
    asked.write_text("x,y\n100,200\n")
    assert main(["evaluate", str(run.path), str(asked), "--json"]) == 0
    assert "unread" not in capsys.readouterr().out


@pytest.mark.parametrize("step", [1e-3, 3.0])
def test_a_look_shows_the_size_that_a_training_takes(step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, sizes = np.random.default_rng(0), set()
    for number in range(80):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)

    def timed(model: object, batch: Any, *rest: object) -> float:
        sizes.add(batch.size)
        return step

    monkeypatch.setattr("mapsto.training.step_seconds.step_seconds", timed)
    decided: list[dict[str, Any]] = []
    api.planned(tmp_path / "pictures", plan="default", emit=lambda event: decided.append(dict(event)))
    choice = next(event["choice"] for event in decided if event["event"] == "decided")
    assert look(tmp_path / "pictures", None, settings_of({})).model == choice and sizes
