"""What a run is asked about new rows: which of them it knows, what goes with the answers, what is missing or unknown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mapsto
from mapsto.cli import main
from mapsto.run import Run

pytestmark = pytest.mark.usefixtures("without_reports", "one_thread")


def ignore(event: object) -> None:
    """Tests read results, not progress."""


@pytest.fixture(scope="module")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A csv of 200 rows: Id, area, town, cheap (a whole number) and noise that no one asked for."""
    rng = np.random.default_rng(0)
    area, town = rng.normal(60, 20, 200).round(3), rng.choice(["Bonn", "Cork"], 200)
    cheap = ((area < 60) ^ (rng.random(200) < 0.1)).astype(int)
    path = tmp_path_factory.mktemp("flats") / "flats.csv"
    pd.DataFrame({"Id": np.arange(1000, 1200), "area": area, "town": town, "cheap": cheap}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def run(flats: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """It learned whether a flat is cheap."""
    return mapsto.train(
        flats, "area, town -> cheap:category", steps=60, lr=0.01, model="mlp(width=16,depth=1)", out=tmp_path_factory.mktemp("runs"), emit=ignore
    )


# ---- rows that it learned from ----


def test_rows_it_learned_from_are_told_and_the_others_measured(run: Run, flats: Path) -> None:
    told: list[str] = []
    found = run.evaluate(flats, lambda event: told.append(event["text"]))["cheap"]["accuracy"]
    tested = run.metrics["test"]["cheap"]["accuracy"]
    assert found["n"] == 200 and found["learned"] == 200 - tested["n"]
    assert found["new"]["n"] == tested["n"] and found["new"]["value"] == pytest.approx(tested["value"])
    assert told == [
        f"{found['learned']} of 200 rows are among those that this run learned from, which flatters it; on the other {tested['n']}:"
        f" cheap accuracy {tested['value']:.4f}"
    ]


def test_the_command_prints_both_figures(run: Run, flats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run.path), str(flats)]) == 0
    said = capsys.readouterr()
    assert "rows that it has not learned from:" in said.out and said.out.count("cheap  accuracy") == 2
    assert "of 200 rows are among those that this run learned from" in said.err


def test_nothing_is_said_of_new_rows(run: Run) -> None:
    told: list[object] = []
    found = run.evaluate(pd.DataFrame({"area": [31.5, 82.25], "town": ["Bonn", "Cork"], "cheap": [1, 0]}), told.append)
    assert not told and "new" not in found["cheap"]["accuracy"]


def test_only_known_rows_say_nothing_of_new_ones(run: Run, flats: Path) -> None:
    told: list[str] = []
    split = run.kept_rows()["split"]
    known = pd.read_csv(flats)[split == 0]
    found = run.evaluate(known, lambda event: told.append(event["text"]))
    assert found["cheap"]["accuracy"]["new"] == {} and "say nothing of new rows" in told[0]


def test_rows_that_cannot_be_read_do_not_shift_the_others(run: Run, flats: Path) -> None:
    rows = pd.read_csv(flats).astype({"area": object})
    rows.loc[3, "area"] = "large"
    found = run.evaluate(rows)["cheap"]["accuracy"]
    assert found["n"] == 199 and found["new"]["n"] in (run.metrics["test"]["cheap"]["accuracy"]["n"], run.metrics["test"]["cheap"]["accuracy"]["n"] - 1)


def test_questions_about_known_rows_say_so(run: Run, flats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assess", str(run.path), "confusion", "--data", str(flats), "--json"]) == 0
    section = json.loads(capsys.readouterr().out.splitlines()[0])
    assert "among those that this run learned from" in section["figures"]["flattered"]
    assert f"cheap accuracy {run.metrics['test']['cheap']['accuracy']['value']:.4f}" in section["figures"]["flattered"]


def test_a_run_of_an_earlier_version_does_not_guess(run: Run, flats: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {name: value for name, value in run.kept_rows().items() if name != "learned_hash"}
    monkeypatch.setattr(Run, "kept_rows", lambda self: kept)
    assert "learned" not in run.evaluate(flats)["cheap"]["accuracy"]
