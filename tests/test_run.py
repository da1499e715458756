"""The life of a run: train, predict in every form, evaluate, embed, extend, copy, list, show."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mapsto
from mapsto import api
from mapsto.cli import main
from mapsto.commands.base import input_paths
from mapsto.errors import ConfigError, DataError, MapstoError, RunError
from mapsto.outputs.classes import Classes
from mapsto.outputs.regression import Regression
from mapsto.prediction.table import BOOKS, columns
from mapsto.run import Run

pytestmark = pytest.mark.usefixtures("without_reports", "two_nets")

SMALL = "mlp(width=32,depth=2,members=4,adapter=output)"


def ignore(event: object) -> None:
    """Tests read results, not progress."""


@pytest.fixture(scope="module")
def shops(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A table run with a number and a category right of the arrow."""
    return mapsto.train(table, "x, shop -> y, sign", steps=300, model=SMALL, out=tmp_path_factory.mktemp("runs"), emit=ignore)


@pytest.fixture(scope="module")
def bars(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A picture run."""
    return mapsto.train(photos, steps=60, model="resnet9(width=8)", out=tmp_path_factory.mktemp("runs"), emit=ignore)


# ---- training beats the trivial answer, signature by signature ----


def test_a_table_to_number_and_category(shops: Run) -> None:
    test, beside = shops.metrics["test"], shops.metrics["baselines"]
    assert test["y"]["r2"]["value"] > 0.8 > beside["y"]["linear"]["r2"]["value"]
    assert test["sign"]["accuracy"]["low"] > beside["sign"]["majority"]["accuracy"]["value"]
    assert test["sign"]["accuracy"]["value"] > 0.8


def test_a_folder_of_pictures_to_category(bars: Run) -> None:
    found = bars.metrics["test"]["category"]["accuracy"]
    assert found["value"] >= 0.9 and found["low"] > bars.metrics["baselines"]["category"]["majority"]["accuracy"]["value"]


def test_a_picture_to_a_number(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    light = rng.uniform(20, 230, 200)
    rows = [{"photo": (np.full((12, 12), v) + rng.normal(0, 8, (12, 12))).clip(0, 255).astype(np.uint8), "light": float(v)} for v in light]
    run = mapsto.train(rows, "photo:image -> light:number", steps=150, model="resnet9(width=8)", out=tmp_path, emit=ignore)
    assert run.metrics["test"]["light"]["r2"]["value"] > 0.9


def test_pictures_to_several_labels_some_unknown(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(240):
        left, right = rng.random(2) < 0.5
        picture = rng.normal(90, 10, (12, 12))
        picture[:, :6] += 90 * left
        picture[:, 6:] += 90 * right
        labels = {"left": int(left) if rng.random() > 0.2 else None, "right": int(right)}
        rows.append({"photo": picture.clip(0, 255).astype(np.uint8), "marks": labels})
    run = mapsto.train(rows, "photo:image -> marks:categories", steps=200, model="resnet9(width=8)", out=tmp_path, emit=ignore)
    assert run.metrics["test"]["marks"]["auc"]["value"] > 0.9


def test_a_picture_and_cells_to_two_outputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    light, age = rng.uniform(20, 230, 300), rng.uniform(0, 90, 300)
    rows = [
        {
            "photo": np.full((12, 12), v, np.uint8),
            "age": None if i % 9 == 0 else float(a),
            "days": float(v / 10 + a / 5),
            "case": "bright" if v > 125 else "dark",
        }
        for i, (v, a) in enumerate(zip(light, age, strict=True))
    ]
    run = mapsto.train(rows, "photo:image, age:number -> case:category, days:number", steps=200, out=tmp_path, emit=ignore)
    assert run.choice.model == "fusion"
    assert run.metrics["test"]["case"]["accuracy"]["value"] > 0.9 and run.metrics["test"]["days"]["r2"]["value"] > 0.7


# ---- predict ----


def test_predictions_take_many_forms(shops: Run) -> None:
    row = {"x": 1.5, "shop": "a"}
    one = shops.predict(row).predictions
    assert one["y"].value == pytest.approx(1.5, abs=0.5) and one["y"].low < one["y"].value < one["y"].high
    assert one["sign"].value == "up" and one["sign"].probability > 0.5
    for rows in ([row, row], pd.DataFrame([row, row]), pl.DataFrame([row, row]), {"x": [1.5, 1.5], "shop": ["a", "a"]}):
        many = shops.predict(rows)
        assert [answer.predictions["sign"].value for answer in many] == ["up", "up"]
        assert many[0].predictions["y"].value == pytest.approx(one["y"].value, abs=1e-4)


def test_pictures_in_every_form(bars: Run, photos: Path) -> None:
    path = photos / "across" / "00.png"
    picture = PIL.Image.open(path)
    forms = [str(path), path, picture, np.asarray(picture), path.read_bytes()]
    values = {str(bars.predict(form).predictions["category"].probability) for form in forms}
    assert len(values) == 1
    assert len(bars.predict([str(path), picture])) == 2


def test_rows_that_cannot_be_read_say_so(shops: Run) -> None:
    good, bad = shops.predict([{"x": 1, "shop": "a"}, {"x": "what", "shop": "a"}])
    assert not good.problem and "what" in bad.problem and not bad.predictions


def test_predict_on_the_command_line(
    shops: Run, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["predict", str(shops.path), str(table)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 600 and set(rows[0]) == {"row", "y", "y.low", "y.high", "sign", "sign.probability", "sign.set", "unsure", "note", "problem"}
    assert "False" in {row["unsure"] for row in rows} <= {"True", "False"} and {row["sign.set"] for row in rows} <= {"up", "down", "up;down", "down;up", ""}
    for ending in ("csv", "jsonl", "parquet"):
        assert main(["predict", str(shops.path), str(table), "--out", str(tmp_path / f"out.{ending}")]) == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 600
    assert len(pl.read_parquet(tmp_path / "out.parquet")) == 600
    monkeypatch.setattr("sys.stdin", io.StringIO("x,shop\n1,a\n2,b\n"))
    capsys.readouterr()
    assert main(["predict", str(shops.path), "-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["predict", str(shops.path), str(table), "--out", "x.doc"]) == 2


NAMES = st.text(min_size=1) | st.sampled_from(["row", "High", "low", "a", "a.low", "problem"])
FIELDS = st.sampled_from([Classes.fields, Regression.fields])


@given(st.dictionaries(NAMES, FIELDS))
def test_no_two_columns_of_a_prediction_are_called_alike(outputs: dict[str, tuple[str, ...]]) -> None:
    named = columns(outputs)
    assert list(named) == [(name, field) for name, fields in outputs.items() for field in fields]
    assert len({*BOOKS, *named.values()}) == len(BOOKS) + len(named)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (["high"], "row high.value high.low high.high unsure note problem"),
        (["row"], "row row.value row.low row.high unsure note problem"),
        (["Problem"], "row Problem.value Problem.low Problem.high unsure note problem"),  # a parquet file tells no case apart
        (["a", "a.low"], "row a.value a.low a.high a.low.value a.low.low a.low.high unsure note problem"),
        (["price"], "row price low high unsure note problem"),
    ],
)
def test_an_output_called_like_a_column_keeps_its_answers(
    outputs: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"x": float(n), **{name: float(n + 1000 * k) for k, name in enumerate(outputs)}} for n in range(40)]
    signature = f"x -> {', '.join(f'{chr(34)}{name}{chr(34)}:number' for name in outputs)}"
    run = mapsto.train(rows, signature, steps=2, model="linear", out=tmp_path, emit=ignore)
    pl.DataFrame(rows).write_csv(tmp_path / "new.csv")
    for ending in ("csv", "jsonl", "parquet"):
        assert main(["predict", str(run.path), str(tmp_path / "new.csv"), "--out", str(tmp_path / f"out.{ending}")]) == 0
        assert ("called like another" in capsys.readouterr().err) == (expected.split()[1] not in outputs)
    frames = [pl.read_csv(tmp_path / "out.csv"), pl.read_ndjson(tmp_path / "out.jsonl"), pl.read_parquet(tmp_path / "out.parquet")]
    answers = [answer.predictions for answer in run.predict(rows)]
    for frame in frames:
        assert frame.columns == expected.split()
        for name in outputs:
            column = name if name in frame.columns and name == expected.split()[1] else f"{name}.value"
            assert frame[column].to_list() == pytest.approx([found[name].value for found in answers])


def test_predict_a_folder_with_a_broken_picture(bars: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("00.png", "01.png"):
        shutil.copy(photos / "down" / name, tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    assert main(["predict", str(bars.path), str(tmp_path)]) == 0
    said = capsys.readouterr()
    rows = {Path(row["row"]).name: row for row in csv.DictReader(io.StringIO(said.out))}
    assert rows["00.png"]["category"] == "down" and rows["broken.png"]["problem"] and "1 row could not be read" in said.err


def test_a_run_copied_elsewhere_predicts_the_same(shops: Run, tmp_path: Path) -> None:
    shutil.copytree(shops.path, tmp_path / "copy")
    row = {"x": -0.7, "shop": "b"}
    assert mapsto.load(tmp_path / "copy").predict(row).predictions["y"].value == shops.predict(row).predictions["y"].value


# ---- evaluate, embed, show, list ----


def test_evaluate_equals_what_training_measured(bars: Run, photos: Path, shops: Run, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bars.evaluate(photos)["category"]["accuracy"]["n"] == 120
    assert main(["evaluate", str(shops.path), str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["y"]["r2"]["n"] == 600


def test_embeddings_tell_classes_apart(bars: Run, photos: Path) -> None:
    found = bars.embed(photos)
    assert found.shape[0] == 120 and np.isfinite(found).all()


def test_a_run_shows_and_lists_itself(shops: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert "r2" in shops._repr_html_() and "done" in repr(shops)
    assert main(["runs", str(shops.path.parent)]) == 0
    assert shops.path.name in capsys.readouterr().out


def test_the_last_json_line_is_the_result(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(table), "--target", "sign", "--steps", "3", "--model", "linear", "--out", str(tmp_path), "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "done" and set(events[-1]) >= {"run", "test", "seconds"}
    assert set(events[-1]["test"]["sign"]["accuracy"]) == {"value", "low", "high", "n"}


# ---- splits ----


def test_folds_test_every_row_once(table: Path, tmp_path: Path) -> None:
    run = mapsto.train(table, "x, shop -> y", steps=150, model=SMALL, folds=3, out=tmp_path, emit=ignore)
    assert run.metrics["test"]["y"]["r2"]["n"] == 600 and len(run.metrics["folds"]) == 3
    assert run.metrics["test"]["y"]["r2"]["value"] > 0.6
    assert run.predict({"x": 1.0, "shop": "a"}).predictions["y"].value > 0


def test_groups_never_straddle(table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table).with_row_index("i").with_columns((pl.col("i") // 6).alias("house"))
    run = mapsto.train(frame.drop("i"), "x, shop -> y", group="house", steps=3, model="linear", out=tmp_path, emit=ignore)
    with np.load(run.path / "rows.npz") as kept:
        split = kept["split"].reshape(100, 6)
    assert (split == split[:, :1]).all() and len(np.unique(split)) == 3


def test_time_tests_on_the_last_rows(table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table).with_columns(day=pl.date_range(pl.date(2020, 1, 1), pl.date(2021, 8, 22), eager=True))
    run = mapsto.train(frame, "x, day -> y", time="day", steps=3, model="linear", out=tmp_path, emit=ignore)
    with np.load(run.path / "rows.npz") as kept:
        assert (np.diff(kept["split"]) >= 0).all()


def test_equal_rows_never_straddle_and_the_split_is_stable(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"a": rng.integers(0, 900, 7000), "b": rng.integers(0, 3, 7000)}).with_columns(y=(pl.col("a") * 0.5))
    splits = []
    for rows in (frame.head(4000), frame):
        run = mapsto.train(rows, "a, b -> y", allow="leakage", steps=2, model="linear", out=tmp_path, emit=ignore)
        with np.load(run.path / "rows.npz") as kept:
            splits.append(kept["split"])
    keys = (frame["a"] * 10 + frame["b"]).to_numpy()
    first = dict(zip(keys, splits[1], strict=True))
    assert all(first[k] == s for k, s in zip(keys, splits[1], strict=True))
    held = splits[1][:4000] > 0  # above 5,000 rows smaller shares are held back; what is held back was so before
    assert held.any() and (splits[0] == splits[1][:4000])[held].all()


def test_weights_count(tmp_path: Path) -> None:
    splits = ["train"] * 360 + ["validation", "test"] * 20
    rows = [{"x": float(i % 2), "y": float(k), "w": 1.0 if k else 0.0, "split": splits[i]} for i in range(400) for k in ((0, 1) if i < 360 else (1,))]
    run = mapsto.train(rows, "x -> y:number", weight="w", steps=200, lr=0.05, model="linear", out=tmp_path, emit=ignore)
    assert run.predict({"x": 1.0}).predictions["y"].value == pytest.approx(1.0, abs=0.1)


# ---- go on ----


def test_extend_learns_new_rows_and_new_classes(table: Path, tmp_path: Path) -> None:
    run = mapsto.train(table, "x, shop -> sign", steps=150, model=SMALL, out=tmp_path, emit=ignore)
    frame = pl.read_csv(table).with_columns(x=pl.col("x") + 20, sign=pl.lit("far"))
    more = api.extend(run.path, frame, steps=300, emit=ignore)
    assert more.types["output", "sign"].vocabulary == ("down", "up", "far")
    assert more.predict({"x": 20.0, "shop": "a"}).predictions["sign"].value == "far"
    assert (run.path / "segments" / "1" / "model.safetensors").exists()
    _, equal = api.reproduce(run.path, emit=ignore)
    assert equal


def drawn(count: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    """Two classes, told apart by the sum of two numbers; where they are shifted, the other way round."""
    a, b = np.random.default_rng(seed).normal(size=(2, count))
    return pl.DataFrame({"a": a + shift, "b": b, "y": np.where((a + b > 0) != (shift > 0), "yes", "no")})


def accuracy(scores: dict) -> tuple[float, int]:
    return scores["y"]["accuracy"]["value"], scores["y"]["accuracy"]["n"]


def test_extend_does_not_forget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn(700, 0).write_csv(tmp_path / "old.csv")
    drawn(140, 1, 6.0).write_csv(tmp_path / "new.csv")
    run = mapsto.train(tmp_path / "old.csv", "a, b -> y", steps=200, model=SMALL, out=tmp_path / "runs", emit=ignore, threads=1)
    had, split = accuracy(run.metrics["test"]), np.load(run.path / "rows.npz")["split"]
    more = api.extend(run.path, tmp_path / "new.csv", steps=300)
    told = capsys.readouterr().out
    before, added = (accuracy(more.metrics["parts"][name]) for name in ("before", "added"))
    assert had[0] > 0.9 and before[1] == had[1] and before[0] > had[0] - 0.05
    assert added[1] == more.metrics["test"]["y"]["accuracy"]["n"] - had[1] > 15 and added[0] > 0.7
    assert "rows before" in told and f"({had[1]})" in told and "rows added" in api.report(run.path).read_text()
    assert np.array_equal(np.load(run.path / "rows.npz")["split"][:700], split)
    third = api.extend(run.path, drawn(60, 2, -6.0), steps=20, emit=ignore)  # and once more, from memory
    assert third.record["rows_before"] == 840 and accuracy(third.metrics["parts"]["before"])[1] == accuracy(more.metrics["test"])[1]
    _, equal = api.reproduce(run.path, emit=ignore)
    assert equal


def test_old_test_rows_that_come_again_stay_test_rows(tmp_path: Path) -> None:
    old = drawn(300, 0)
    run = mapsto.train(old, "a, b -> y", steps=5, model="linear", out=tmp_path, emit=ignore)
    split = np.load(run.path / "rows.npz")["split"]
    api.extend(run.path, pl.concat([drawn(90, 1), old]), before=old, steps=5, emit=ignore)
    now = np.load(run.path / "rows.npz")["split"]
    assert np.array_equal(now[:300], split) and np.array_equal(now[390:], split)
    assert set(now[300:390]) == {0, 1, 2}


def test_a_killed_extension_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.training.trainer.SAVE", 0.0)
    monkeypatch.setattr("mapsto.training.trainer.TICK", 0.0)
    drawn(300, 0).write_csv(tmp_path / "old.csv")
    drawn(90, 1, 6.0).write_csv(tmp_path / "new.csv")
    whole = mapsto.train(tmp_path / "old.csv", "a, b -> y", steps=20, model="linear", out=tmp_path / "runs", emit=ignore, threads=1)

    for event_of_cut in ("decided", "step"):  # before anything is learned, and later
        cut = tmp_path / event_of_cut
        shutil.copytree(whole.path, cut)

        def stop(event: dict, at: str = event_of_cut) -> None:
            if event["event"] == at and event.get("step", 99) >= 17:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            api.extend(cut, tmp_path / "new.csv", steps=30, emit=stop)
        if event_of_cut == "decided":  # as if it had been killed before the rows were divided
            run = Run.open(cut)
            del run.record["choice"]
            run.save()
        assert api.resume(cut, emit=ignore).status == "done"
    api.extend(whole.path, tmp_path / "new.csv", steps=30, emit=ignore)
    assert all(api.same_weights(whole.path, tmp_path / name) for name in ("decided", "step"))


def test_extend_says_what_it_cannot_learn_from(tmp_path: Path) -> None:
    rows = drawn(120, 0)
    rows.write_csv(tmp_path / "old.csv")
    run = mapsto.train(tmp_path / "old.csv", "a, b -> y", steps=2, model="linear", out=tmp_path / "runs", emit=ignore)
    held = mapsto.train(rows, "a, b -> y", steps=2, model="linear", out=tmp_path / "runs", emit=ignore)
    folds = mapsto.train(rows, "a, b -> y", steps=2, model="linear", out=tmp_path / "runs", folds=2, emit=ignore)
    for start, new, what in (
        (run, rows.drop("b"), "it lacks column 'b'"),
        (run, rows.with_columns(c=1), "it also has column 'c'"),
        (run, rows.with_columns(y=pl.lit(None, pl.String)), "every cell is missing"),
        (held, rows, "before=old"),
        (folds, rows, "--folds"),
    ):
        with pytest.raises(MapstoError, match=what) as found:
            api.extend(start.path, new, steps=2, emit=ignore)
        assert str(found.value).count("\n") < 3 and Run.open(start.path).status == "done"
    (tmp_path / "old.csv").unlink()
    with pytest.raises(RunError, match=r"old\.csv.*\nPut them back"):
        api.extend(run.path, rows, steps=2, emit=ignore)


def test_resume_of_a_finished_run_changes_nothing(shops: Run) -> None:
    before = (shops.path / "model.safetensors").read_bytes()
    api.resume(shops.path, emit=ignore)
    assert (shops.path / "model.safetensors").read_bytes() == before


def test_until_stops_at_the_goal(table: Path, tmp_path: Path) -> None:
    run = mapsto.train(table, "x, shop -> sign", steps=3000, until="accuracy=0.8", model=SMALL, out=tmp_path, emit=ignore)
    assert run.record["stopped"] == "accuracy reached 0.8" and run.record["steps"] < 3000


def test_data_from_memory_is_resumed_from_its_encoded_copy(table: Path, tmp_path: Path) -> None:
    run = mapsto.train(pl.read_csv(table), "x, shop -> y", steps=20, model="linear", out=tmp_path, emit=ignore)
    _, equal = api.reproduce(run.path, emit=ignore)
    assert equal
    shutil.rmtree(run.record["store"])
    with pytest.raises(RunError, match="given from memory"):
        api.reproduce(run.path, emit=ignore)


def test_changed_data_is_noticed(table: Path, tmp_path: Path) -> None:
    copy = tmp_path / "t.csv"
    shutil.copy(table, copy)
    run = mapsto.train(copy, "x, shop -> y", steps=5, model="linear", out=tmp_path / "runs", emit=ignore)
    copy.write_text(copy.read_text() + "1,a,1,up\n")
    shutil.rmtree(run.record["store"])
    with pytest.raises(RunError, match="has changed"):
        api.reproduce(run.path, emit=ignore)


def test_diverging_training_rolls_back_with_a_lower_rate(tmp_path: Path) -> None:
    rows = [{"x": float(i), "y": float(i % 7) * 1e3} for i in range(200)]
    told: list[dict] = []
    with pytest.raises(RunError, match="no number"):
        mapsto.train(rows, "x -> y", steps=2000, optimizer="sgd", lr=1e12, model="mlp(width=16)", out=tmp_path, emit=told.append)
    assert [event["rate"] for event in told if event["event"] == "decision" and "rate" in event] == [0.3, 0.3, 0.3]


def test_an_option_without_effect_is_an_error(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mix pictures"):
        mapsto.train(table, "x -> y", steps=2, learner="supervised(mixup=0.5)", out=tmp_path, emit=ignore)


@pytest.mark.parametrize(
    ("written", "rows"),
    [
        ("x,shop\n1,a\n2,b\n", [("1", "a"), ("2", "b")]),
        ("x;shop\n1,5;a\n2,25;b\n", [("1.5", "a"), ("2.25", "b")]),
        ("x\tshop\n1\ta, b\n2\tb\n", [("1", "a, b"), ("2", "b")]),
        ("x;shop\nu;a\nv;b\n", [("u", "a"), ("v", "b")]),
        ("x|shop\n1|a\n", [("1", "a")]),
        ("\ufeffx;shop\r\n1;Müller\r\n", [("1", "Müller")]),
        ("text\nhello there\n", ["hello there"]),
        ("text\nhello, there\n", ["hello"]),
    ],
    ids=["comma", "semicolon", "tab", "words", "pipe", "mark", "one column", "comma within"],
)
def test_standard_input_has_its_dialect(written: str, rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (io.StringIO(written), io.TextIOWrapper(io.BytesIO(written.encode()))):
        monkeypatch.setattr("sys.stdin", stream)
        found = input_paths(["-"])
        assert [tuple(row[name] for name in ("x", "shop")) if "x" in row else row["text"] for row in found] == rows


def test_rows_of_standard_input_that_cannot_be_read_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x;shop\n" + "1;a\n" * 30 + "1;a;b;c\n"))
    assert len(input_paths(["-"])) == 30
    assert "left out: standard input, line 32" in capsys.readouterr().err


# ---- what new users met ---------------------------------------------------------------------------------------


def test_what_is_read_is_not_written_over(shops: Run, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = Path(shutil.copyfile(table, tmp_path / "new.csv"))
    for command in ("predict", "embed"):
        assert main([command, str(shops.path), str(data), "--out", str(data)]) == 2
        assert "would be lost" in capsys.readouterr().err
    assert data.read_bytes() == table.read_bytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "banana"}, "status 'banana'"),
        ({"calibration": {"y": {"kind": "regression", "halfwidth": "x"}}}, "calibration.y.halfwidth"),
        ({"calibration": {"y": {"kind": "regression", "halfwidth": -3.0}}}, "halfwidth -3"),
    ],
)
def test_a_record_of_impossible_values_is_damaged(shops: Run, tmp_path: Path, change: dict, says: str) -> None:
    path = Path(shutil.copytree(shops.path, tmp_path / "run"))
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**record, **change}))
    with pytest.raises(RunError, match=says):
        mapsto.load(path).predict({"x": 1.0, "shop": "a"})


def test_an_answer_that_is_no_number_is_a_problem(shops: Run, tmp_path: Path) -> None:
    path = Path(shutil.copytree(shops.path, tmp_path / "run"))
    run = mapsto.load(path)
    with torch.no_grad():
        for value in run.model.parameters():
            value.fill_(float("nan"))
    with pytest.raises(DataError, match="the net's answer for 'y' is no number"):
        run.predict({"x": 1.0, "shop": "a"})
