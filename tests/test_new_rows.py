"""What a run is asked about new rows: which of them it knows, what goes with the answers, what is missing or unknown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mapsto
from mapsto.cli import main
from mapsto.errors import ConfigError, SignatureError
from mapsto.prediction.table import Table
from mapsto.run import Run

pytestmark = pytest.mark.usefixtures("without_reports", "one_thread")


X = np.random.default_rng(0).normal(size=60)


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


# ---- what goes with the answers ----


def answered(run: Run, data: object, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[pd.DataFrame, str]:
    """The csv that `mapsto predict` prints, and what it says beside."""
    capsys.readouterr()
    assert main(["predict", str(run.path), str(data), *words]) == 0
    said = capsys.readouterr()
    return pd.read_csv(io.StringIO(said.out), keep_default_na=False), said.err


def test_columns_of_the_data_go_with_the_answers(run: Run, flats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, _ = answered(run, flats, "--keep", "Id, town", capsys=capsys)
    assert list(table) == ["Id", "town", "row", "cheap", "probability", "set", "unsure", "note", "problem"]
    assert table["Id"].tolist() == list(range(1000, 1200)) and table["town"].tolist() == pd.read_csv(flats)["town"].tolist()


def test_all_columns_go_with_the_answers_and_none_is_written_twice(run: Run, flats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, _ = answered(run, flats, "--keep", "all", capsys=capsys)
    assert list(table)[:5] == ["Id", "area", "town", "data.cheap", "row"] and list(table)[5] == "cheap"
    assert table["data.cheap"].tolist() == pd.read_csv(flats)["cheap"].tolist()


def test_a_submission_is_one_command(run: Run, flats: Path, tmp_path: Path) -> None:
    out = tmp_path / "submission.csv"
    assert main(["predict", str(run.path), str(flats), "--keep", "Id", "--only", "value", "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert list(table) == ["Id", "cheap"] and set(table["cheap"]) <= {0, 1} and len(table) == 200


def test_every_class_has_a_column_of_its_probability(run: Run, flats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, _ = answered(run, flats, "--probabilities", capsys=capsys)
    both = table[["cheap.0", "cheap.1"]]
    assert both.sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-5)
    assert both.max(axis=1).to_numpy() == pytest.approx(table["probability"].to_numpy())
    found = run.predict({"area": [50.0], "town": ["Bonn"]}, probabilities=True)[0].predictions["cheap"]
    assert set(found.detail["probabilities"]) == {0, 1}


def test_names_of_columns_differ_whatever_classes_are_called() -> None:
    outputs = {"a": ("value", "probability"), "b": ("value",)}
    table = Table.of(outputs, {"a": ("probability", "x", "X")}, ("a", "row", "data.a", "id"))
    names = [name.casefold() for name in table.columns]
    assert len(set(names)) == len(names) and list(table.kept.values()) == ["data.a", "data.row", "data.data.a", "id"]


def test_one_of_two_outputs_is_named() -> None:
    outputs = {"sign": ("value", "set"), "y": ("value", "low", "high")}
    assert Table.of(outputs, only=["y"]).columns == ["y"]
    assert Table.of(outputs, only=["row", "sign.set", "low"]).columns == ["row", "sign.set", "y.low"]


def test_what_is_not_there_is_refused(run: Run, flats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in ((("--keep", "Ids"), "did you mean 'Id'"), (("--only", "valu"), "did you mean 'value'")):
        assert main(["predict", str(run.path), str(flats), *words]) == 2
        assert said in capsys.readouterr().err


def test_rows_are_named_in_one_way(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"area": [40.5, 80.5], "town": ["Bonn", "Cork"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert answered(run, tmp_path / name, capsys=capsys)[0]["row"].tolist() == ["row 0", "row 1"]


def test_a_frame_gets_a_frame_with_its_index(run: Run) -> None:
    frame = pd.DataFrame({"area": [40.5, 80.5], "town": ["Bonn", "Cork"]}, index=["x", "y"])
    found = run.predict(frame, keep="all")
    assert isinstance(found, list) and found.frame.index.tolist() == ["x", "y"]
    assert found.frame["cheap"].tolist() == [answer.predictions["cheap"].value for answer in found]
    assert run.predict(pl.DataFrame(frame)).frame["cheap"].to_list() == found.frame["cheap"].tolist()
    assert found.frame["town"].tolist() == ["Bonn", "Cork"]
    with pytest.raises(ConfigError, match="to list"):
        run.predict([{"area": 1.0, "town": "Bonn"}]).frame  # noqa: B018


# ---- what is missing or unknown ----


def test_all_columns_that_lack_are_named_and_may_be_missing(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new.csv").write_text("Id,area\n1,40\n2,90\n")
    with pytest.raises(SignatureError, match=r"(?s)expected columns 'area', 'town', found Id\..*learned") as both:
        run.predict(pd.DataFrame({"Id": [1]}))
    assert "--missing-ok" not in str(both.value)  # nothing would be left
    assert main(["predict", str(run.path), str(tmp_path / "new.csv")]) == 2
    assert "expected a column 'town', found Id, area." in (said := capsys.readouterr().err) and "--missing-ok" in said
    table, _ = answered(run, tmp_path / "new.csv", "--missing-ok", capsys=capsys)
    empty = run.predict(pd.DataFrame({"area": [40.0, 90.0], "town": [None, None]}))
    assert table["probability"].to_numpy() == pytest.approx([answer.predictions["cheap"].probability for answer in empty])
    assert run.predict({"area": 40.0}, missing_ok=True).predictions["cheap"].value == empty[0].predictions["cheap"].value


def test_values_that_were_not_learned_are_marked(run: Run) -> None:
    found = run.predict(pd.DataFrame({"area": [40.0, 40.0, 40.0], "town": ["Bonn", "Paris", None]}))
    assert [answer.note for answer in found] == ["", "not seen in training: town 'Paris'", ""]
    assert not any(answer.problem for answer in found) and found[1].predictions["cheap"].value in (0, 1)


# ---- spreadsheets ----


def test_a_csv_holds_answers_as_they_are_unless_it_is_for_a_spreadsheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.DataFrame({"x": X, "y": np.where(X > 0, "+1 level", "- Hallo")})
    run = mapsto.train(rows, "x -> y", steps=5, model="mlp(width=8,depth=1)", out=tmp_path, emit=ignore)
    rows.to_csv(tmp_path / "new.csv", index=False)
    plain, _ = answered(run, tmp_path / "new.csv", capsys=capsys)
    guarded, _ = answered(run, tmp_path / "new.csv", "--spreadsheet", capsys=capsys)
    assert set(plain["y"]) <= {"+1 level", "- Hallo"}
    assert guarded["y"].tolist() == [f"'{name}" for name in plain["y"]]
    assert main(["predict", str(run.path), str(tmp_path / "new.csv"), "--spreadsheet", "--out", str(tmp_path / "a.jsonl")]) == 2
