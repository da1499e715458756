"""Ways of learning that the house does not know, each one new file: from the front door to a report, a
prediction or a sample, and resumed bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import mapsto
from mapsto.api import same_weights
from mapsto.cli import main
from mapsto.errors import ConfigError, DataError
from mapsto.run import Run

HERE = Path(__file__).parent
FIXED: dict[str, Any] = {"threads": 1, "plan": "default", "precision": "float32"}
TABLE: dict[str, Any] = {"model": "mlp(width=16, depth=1, members=2)", "batch": 16, "lr": 5e-3, **FIXED}


class CutOff(Exception):
    """The process ends here."""


def quiet(event: Mapping[str, Any]) -> None:
    """Tell nobody."""


def cut_at(step: int) -> Callable[[Mapping[str, Any]], None]:
    def emit(event: Mapping[str, Any]) -> None:
        if event["event"] == "step" and event["step"] >= step:
            raise CutOff

    return emit


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a package of one file: `package("gan", types="point", …)` gives it entry points."""

    def install(name: str, **entries: str) -> None:
        monkeypatch.syspath_prepend(str(HERE))
        points = {room: (EntryPoint(entry, name, f"mapsto.{room}"),) for room, entry in entries.items()}
        monkeypatch.setattr("mapsto.registry._outside", lambda room: points.get(room, ()))

    return install


def learned(data: Any, signature: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Run:
    """Trained at once; and again, cut off in the middle and resumed, which ends in the same weights."""
    run = mapsto.train(data, signature, out=tmp_path / "whole", emit=quiet, **options)
    monkeypatch.setattr("mapsto.training.trainer.TICK", 0.0)
    monkeypatch.setattr("mapsto.training.trainer.SAVE", 0.0)
    with pytest.raises(CutOff):
        mapsto.train(data, signature, out=tmp_path / "cut", emit=cut_at(options["steps"] // 2), **options)
    (cut,) = Run.list(tmp_path / "cut")
    resumed = mapsto.resume(cut.path, data, emit=quiet)
    assert same_weights(run.path, resumed.path)
    assert (run.path / "report.html").exists() and (run.path / "README.md").exists()
    return mapsto.load(run.path)


def test_a_gan(package: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package("gan", types="point", models="gan", learners="gan", recipes="gan")
    points = np.random.default_rng(0).normal((2, -1), (0.5, 1.5), (400, 2)).round(4)

    run = learned([{"point": point} for point in points.tolist()], "-> point", tmp_path, monkeypatch,
                  steps=300, batch=64, metric="apart", ema=0.9, **FIXED)  # fmt: skip

    made = np.array(run.sample(1000, seed=1))
    assert np.abs(made.mean(0) - (2, -1)).max() < 0.8
    assert run.choice.best == ("point", "apart") and run.metrics["test"]["point"]["apart"]["value"] < 2
    assert run.sample(2, seed=1) == run.sample(2, seed=1) != run.sample(2, seed=2)


def test_a_diffusion(
    package: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package("diffusion", types="tiny", models="diffusion", learners="diffusion", recipes="diffusion")
    ramp = np.arange(64).reshape(8, 8) * 2
    pictures = [{"tiny": (ramp + int(light)).tolist()} for light in np.random.default_rng(0).integers(0, 120, 200)]

    run = learned(pictures, "-> tiny", tmp_path, monkeypatch,
                  steps=200, batch=64, lr=3e-3, **FIXED)  # fmt: skip

    capsys.readouterr()
    assert main(["sample", str(run.path), "--n", "2", "--out", str(tmp_path / "made")]) == 0
    files = sorted((tmp_path / "made").glob("*.png"))
    assert [str(file) for file in files] == capsys.readouterr().out.split() and len(files) == 2
    shown = np.asarray(PIL.Image.open(files[0])).astype(int)
    assert shown.shape == (8, 8) and shown[7].mean() > shown[0].mean() + 30  # the ramp; noise has none


def rows(n: int, clients: int = 1) -> list[dict[str, Any]]:
    draw = np.random.default_rng(0)
    places = draw.normal(size=(n, 2)).round(4)
    return [
        {"a": a, "b": b, "side": "up" if a + b > 0 else "down", "clinic": f"clinic {i % clients}"}
        for i, (a, b) in enumerate(places.tolist())
    ]


def test_learning_in_private_records_what_it_gave_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = learned(rows(300), "a, b -> side", tmp_path, monkeypatch,
                  learner=f"{HERE / 'private.py'}(noise=0.5)", steps=40, drop="clinic", **{**TABLE, "lr": 0.02})  # fmt: skip

    assert run.metrics["test"]["side"]["accuracy"]["value"] > 0.7
    record = json.loads((run.path / "run.json").read_text())["learned"]
    assert record["delta"] == 1e-5 and record["epsilon"] == pytest.approx(80 + 2 * (80 * np.log(1e5)) ** 0.5, abs=0.01)
    assert "epsilon" in (run.path / "README.md").read_text()
    assert run.predict({"a": 2.0, "b": 2.0}).predictions["side"].value == "up"  # type: ignore[union-attr]


def test_federated_clients_are_the_groups_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = learned(rows(300, clients=12), "a, b -> side", tmp_path, monkeypatch,
                  learner=str(HERE / "federated.py"), steps=15, group="clinic", **TABLE)  # fmt: skip

    record = json.loads((run.path / "run.json").read_text())["learned"]
    assert record["rounds"] == 15 and 2 <= record["clients"] < 12  # others' rows are held back
    assert run.metrics["test"]["side"]["accuracy"]["value"] > 0.7


def test_few_shot_answers_by_the_rows_that_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = learned(rows(300), "a, b -> side", tmp_path, monkeypatch,
                  learner=str(HERE / "few_shot.py"), steps=40, drop="clinic", **TABLE)  # fmt: skip
    asked, support = [{"a": 2.0, "b": 1.5}, {"a": -2.0, "b": -1.5}], rows(20)
    swapped = [{**row, "side": "down" if row["side"] == "up" else "up"} for row in support]

    def answers(**given: Any) -> list[str]:
        return [answer.predictions["side"].value for answer in run.predict(asked, **given)]  # type: ignore[union-attr]

    assert run.metrics["test"]["side"]["accuracy"]["value"] > 0.8
    assert answers(given=support) == ["up", "down"]
    assert answers(given=swapped) == ["down", "up"]
    with pytest.raises(DataError, match="whole rows"):
        run.predict(asked, given=[{"a": "no number", "b": 1.0, "side": "up"}])
    with pytest.raises(ConfigError, match="given=rows"):
        run.predict(asked)
