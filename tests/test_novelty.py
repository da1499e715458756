"""Rows far from the training rows are called unsure, rows like them are not: pictures, tables and texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest
from sklearn.datasets import load_digits

import mapsto
from mapsto.assess._ask import ask_all, view_on
from mapsto.cli import main
from mapsto.errors import RunError
from mapsto.measure import ood
from mapsto.measure.ood import Novelty, OodFeatures, ReferenceSet
from mapsto.run import Run

pytestmark = pytest.mark.usefixtures("without_reports")

WORDS = """the a this that every film book song story actor music plot scene joke ending was is felt seemed looked very quite rather really
not too good bad dull bright slow quick funny sad long short and but because when while after it they we i loved hated liked enjoyed
watched heard read again once never always"""


def ignore(event: object) -> None:
    """Tests read results, not progress."""


def unsure(run: Run, rows: list) -> float:
    """The share of rows called unsure."""
    answers = run.predict(rows)
    assert isinstance(answers, list)
    return float(np.mean([next(iter(answer.predictions.values())).unsure for answer in answers]))


def own(run: Run, data: list[dict]) -> list[dict]:
    """The run's own test rows."""
    with np.load(run.path / "rows.npz") as kept:
        return [data[i] for i in np.flatnonzero(kept["split"] == 2)]


# --- arithmetic


def test_a_cloud_measures_to_the_nearest_row_and_to_the_space_it_spans() -> None:
    """Rows on a plane in 200 dimensions: a row beyond them on the plane is far, one beside the plane lies outside the space."""
    draw = np.random.default_rng(0)
    plane, beside = np.linalg.qr(draw.normal(size=(200, 3)))[0].T[:2], np.linalg.qr(draw.normal(size=(200, 3)))[0].T[2]
    rows = (draw.uniform(-1, 1, (500, 2)) @ plane).astype(np.float32)
    cloud = ReferenceSet.of(rows)
    assert cloud.axes.shape == (200, 2)
    near, outside = cloud.distances(np.stack([rows[0], np.array([9.0, 0]) @ plane, rows[0] + 5 * beside]).astype(np.float32))
    assert near[0] < 0.05 and near[1] == pytest.approx(8 / cloud.unit, rel=0.1) and near[2] > 4 / cloud.unit
    assert outside[0] < 0.05 and outside[1] < 0.1 and outside[2] > 4 / cloud.unit
    wild = cloud.distances(np.array([[np.nan] * 200, [np.inf] * 200, [1e30] * 200], np.float32))
    assert np.isfinite(wild).all() and min(wild[1]) > 100


def test_two_in_a_hundred_rows_like_the_training_rows_are_unsure(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)

    def seen(rows: int, scale: float = 1.0) -> OodFeatures:
        return OodFeatures(draw.normal(size=(rows, 300)) * scale, draw.normal(size=(rows, 20)) * scale, np.abs(draw.normal(size=(rows, 2))))

    known = ood.fitted(seen(2000), seen(1000))
    found = known.distance(seen(2000)) > 1
    assert 0.005 < found.mean() < 0.04 and (known.distance(seen(50, 3.0)) > 1).all()
    known.save(tmp_path)
    again, rows = Novelty.load(tmp_path), seen(300)
    assert again is not None and again.distance(rows) == pytest.approx(known.distance(rows), rel=1e-3)
    assert again.record() == known.record() and (tmp_path / ood.FILE).stat().st_size < 1e6
    (tmp_path / ood.FILE).write_bytes(b"nothing")
    with pytest.raises(RunError, match="is damaged"):
        Novelty.load(tmp_path)
    assert Novelty.load(tmp_path / "elsewhere") is None


def test_wide_features_are_hashed_alike_every_time() -> None:
    rows = np.random.default_rng(2).normal(size=(40, 5000)).astype(np.float32)
    narrow = ood._narrow(rows)
    assert ood.WIDEST - 20 < narrow.shape[1] <= ood.WIDEST and (ood._narrow(rows[:3]) == narrow[:3]).all()
    between = np.linalg.norm(rows[:20] - rows[20:], axis=1)
    assert np.linalg.norm(narrow[:20] - narrow[20:], axis=1) == pytest.approx(between, rel=0.15)


# --- pictures


@pytest.fixture(scope="module")
def digits() -> list[dict]:
    found = load_digits()
    pictures = (found.images * 255 / 16).astype(np.uint8)
    return [{"image": picture, "digit": str(label)} for picture, label in zip(pictures, found.target, strict=True)]


@pytest.fixture(scope="module")
def digit_run(digits: list[dict], tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("digits")
    return mapsto.train(digits, "image:image -> digit:category", steps=150, model="resnet9(width=8)", out=out, emit=ignore)


def letters() -> list[np.ndarray]:
    found = []
    for letter in "ABCDEFGHJKLMNPQRTUVWXYabdefghkmnpqrt":
        picture = PIL.Image.new("L", (28, 28), 0)
        PIL.ImageDraw.Draw(picture).text((6, 0), letter, fill=255, font=PIL.ImageFont.load_default(24))
        found.append(np.asarray(picture))
    return found


def test_noise_and_letters_are_no_digits(digit_run: Run, digits: list[dict]) -> None:
    draw = np.random.default_rng(0)
    assert unsure(digit_run, [draw.integers(0, 256, (8, 8)).astype(np.uint8) for _ in range(50)]) == 1.0
    assert unsure(digit_run, [draw.integers(0, 256, (28, 28)).astype(np.uint8) for _ in range(50)]) == 1.0
    assert unsure(digit_run, letters()) > 0.9
    assert unsure(digit_run, own(digit_run, digits)) <= 0.05
    assert (digit_run.path / ood.FILE).stat().st_size < 1e6 and digit_run.record["novelty"]["quantile"] == 0.98


def test_sets_cover_nine_in_ten_of_a_net_that_is_nearly_always_right(digit_run: Run, digits: list[dict]) -> None:
    assert digit_run.metrics["test"]["digit"]["accuracy"]["value"] > 0.94
    rows = own(digit_run, digits)
    answers = [answer.predictions["digit"] for answer in digit_run.predict(rows)]
    covered = np.mean([row["digit"] in answer.set for row, answer in zip(rows, answers, strict=True)])
    assert 0.83 <= covered <= 0.97 and np.mean([len(answer.set) == 0 for answer in answers]) > 0.02
    assert all(answer.set == () or answer.set[0] == answer.value for answer in answers)


def test_clothes_are_no_digits(digit_run: Run, real_data: Path) -> None:
    import gzip
    import io
    import zipfile

    with zipfile.ZipFile(real_data / "fashion-mnist.zip") as archive, gzip.open(io.BytesIO(archive.read("t10k-images-idx3-ubyte.gz"))) as file:
        pictures = np.frombuffer(file.read(16 + 200 * 784)[16:], np.uint8).reshape(-1, 28, 28)
    assert unsure(digit_run, list(pictures)) > 0.6


def test_runs_of_an_older_mapsto_say_nothing(digit_run: Run, digits: list[dict], tmp_path: Path) -> None:
    shutil.copytree(digit_run.path, tmp_path / "old")
    (tmp_path / "old" / ood.FILE).unlink()
    record = json.loads((tmp_path / "old" / "run.json").read_text())
    record["calibration"] = {"digit": {"kind": "classes", "temperature": 1.5, "n": 200}}
    (tmp_path / "old" / "run.json").write_text(json.dumps(record))
    found = mapsto.load(tmp_path / "old").predict(digits[0]["image"]).predictions["digit"]
    assert found.unsure is None and found.set is None and set(found.to_json()) == {"value", "probability"}
    shown = digit_run.predict(digits[0]["image"]).predictions["digit"]
    assert shown.unsure is False and set(shown.to_json()) == {"value", "probability", "set", "unsure"}


# --- tables and texts


def test_absurd_numbers_and_unseen_words_are_far_from_a_table(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = mapsto.train(table, "x, shop -> y", steps=150, model="mlp(width=32,depth=2,members=4,adapter=output)", out=tmp_path, emit=ignore)
    assert unsure(run, [{"x": x, "shop": "a"} for x in (1e6, -40.0, 1e30)]) == 1.0
    assert unsure(run, [{"x": 0.1 * k, "shop": "b"} for k in range(-15, 15)]) == 0.0
    assert unsure(run, [{"x": 0.3, "shop": "elsewhere"}] * 2) == 1.0
    capsys.readouterr()
    (tmp_path / "new.csv").write_text("x,shop\n0.2,a\n5000,a\n")
    assert main(["predict", str(run.path), str(tmp_path / "new.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "row,y,low,high,unsure,note,problem" and [line.split(",")[4] for line in lines[1:]] == ["False", "True"]


def test_keys_hit_at_random_and_other_languages_are_far_from_english(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(500):
        words = draw.choice(WORDS.split(), draw.integers(8, 20)).tolist()
        rows.append(
            {"text": " ".join(words), "mood": "glad" if sum(w in ("good", "funny", "loved", "bright", "liked") for w in words) >= 2 else "sad"}
        )
    run = mapsto.train(rows, "text:text -> mood:category", steps=60, out=tmp_path, emit=ignore)
    gibberish = ["".join(draw.choice(list("qwertzuiopasdfghjklyxcvbnm   "), 80)) for _ in range(20)]
    assert unsure(run, [{"text": text} for text in gibberish]) == 1.0
    german = "der Film war leider viel zu lang und die Musik hat mir gar nicht gefallen, obwohl ich mich darauf gefreut hatte"
    assert unsure(run, [{"text": german}, {"text": "фильм был слишком длинным, и музыка мне не понравилась"}, {"text": "这部电影太长了"}]) == 1.0
    assert unsure(run, own(run, rows)) <= 0.08


def test_too_few_rows_to_say(tmp_path: Path) -> None:
    rows = [{"x": float(i), "y": "a" if i % 2 else "b"} for i in range(60)]
    run = mapsto.train(rows, "x:number -> y:category", steps=3, model="linear", out=tmp_path, emit=ignore)
    found = run.predict({"x": 1.0}).predictions["y"]
    assert run.record["novelty"] is None and found.unsure is None and (found.set is None) == (run.record["rows"]["validation"] < 9)


# --- the question


def test_the_report_says_whether_sets_hold_what_they_promise(digit_run: Run, table: Path, tmp_path: Path) -> None:
    section = ask_all(view_on(digit_run), ["sets"])[0]
    found = section.figures["digit"]
    assert found["n"] == digit_run.record["rows"]["test"] and 0.83 <= found["coverage"] <= 0.97
    assert found["low"] < found["coverage"] < found["high"]
    assert found["expected"][0] < 0.9 < found["expected"][1] and 0 <= section.figures["unsure"]["share"] <= 0.05
    assert "hold the true class" in section.headline and "unsure" in section.headline
    json.dumps(section.to_json(), allow_nan=False)

    run = mapsto.train(table, "x, shop -> y, sign", steps=100, model="mlp(width=32,depth=2,members=4,adapter=output)", out=tmp_path, emit=ignore)
    figures = ask_all(view_on(run), ["sets"])[0].figures
    assert (
        set(figures) == {"y", "sign", "unsure"}
        and figures["y"]["width"] > 0
        and figures["y"]["calibration_rows"] == figures["sign"]["calibration_rows"]
    )


def test_labels_have_sets_and_the_question_counts_them(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [
        {"a": float(a), "b": float(b), "marks": {"left": int(a > 0), "right": int(b + 0.3 * draw.normal() > 0.5)}}
        for a, b in draw.normal(size=(600, 2))
    ]
    run = mapsto.train(rows, "a:number, b:number -> marks:categories", steps=150, model="mlp(width=32)", out=tmp_path, emit=ignore)
    found = run.predict({"a": 1.5, "b": 2.0}).predictions["marks"]
    assert set(found.set) == {"left", "right"} and run.calibration["marks"]["kind"] == "labels"
    figures = ask_all(view_on(run), ["sets"])[0].figures["marks"]
    assert 0.75 <= figures["coverage"] <= 1 and figures["size"] < 2
