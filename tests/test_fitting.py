"""--fit-into: nets are made so narrow that their export keeps a size and a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mapsto
from mapsto import models
from mapsto.cli import main
from mapsto.deploy import _fitting
from mapsto.deploy._fitting import Tried
from mapsto.errors import ConfigError
from mapsto.measure import ood
from mapsto.registry import module, names
from mapsto.training.limit import Limit, limit_of

pytestmark = pytest.mark.usefixtures("one_thread")
NET = "mlp(width=256,depth=1,nets=1,line=false)"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    rows = [f"{i % 7},{(i * 13) % 11},{'yes' if i % 7 > 3 else 'no'}" for i in range(300)]
    path.write_text("\n".join(["a,b,y", *rows]))
    return path


@pytest.mark.parametrize(("text", "limit"), [
    ("2 MB, 5 ms", Limit(2e6, 0.005)), ("200kB", Limit(bytes=2e5)), ("1.5 ms", Limit(seconds=0.0015)), ("3 s, 900 b", Limit(900, 3)),
])
def test_a_limit_is_a_size_and_a_time_or_one_of_them(text: str, limit: Limit) -> None:
    assert limit_of(text) == limit


@pytest.mark.parametrize("text", ("", "2", "2 MB, 3 MB", "0 MB", "-1 ms", "2 MB; 5 ms", "two MB", "5 minutes"))
def test_what_is_no_limit_is_refused(text: str, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(table), f"--fit-into={text}"]) == 2
    assert "--fit-into: expected a size and a time as in '2 MB, 5 ms'" in capsys.readouterr().err


@pytest.mark.parametrize("more", (["--folds", "3"], ["--from", "runs/x"]))
def test_nets_that_have_a_size_already_are_refused(more: list[str], table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(table), "--fit-into", "2 MB", *more]) == 2
    assert f"--fit-into and {more[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize("name", names("models"))
def test_every_model_is_narrowed_to_options_that_it_takes(name: str) -> None:
    options = dict(getattr(module("models", name), "EXAMPLE", {}))
    for share in (1.0, 0.5, 1e-4):
        narrow = models.narrowed(name, options, share)
        models.config(name, narrow)
        assert share < 1 or narrow == options


def test_the_largest_net_that_is_small_enough_is_found(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export_of(run, store, options) -> Tried:  # 50,000 bytes and 2 ms, and more for each weight
        count = _fitting._parameters(run, options)
        return Tried(options, count, 50_000 + 3 * count, 0.002 + 1e-8 * count, "int8")

    monkeypatch.setattr(_fitting, "_measured", export_of)
    monkeypatch.setattr(_fitting, "export_that_fits", lambda run, emit: None)

    def fitted(limit: str) -> mapsto.run.Run:
        return mapsto.train(table, "a, b -> y", steps=1, plan="default", model=NET, fit_into=limit, out=tmp_path, emit=lambda event: None)

    usual, small = fitted("50 MB, 1 s"), fitted("80 kB, 3 ms")
    assert usual.choice.model_options["width"] == 256 and len(usual.record["fits"]["tried"]) == 1
    taken = [one["bytes"] for one in small.record["fits"]["tried"]]
    assert max(one for one in taken if one <= 80_000) > 65_000 and len(taken) <= 5
    assert small.record["parameters"] == max(one["parameters"] for one in small.record["fits"]["tried"] if one["bytes"] <= 76_000)

    with pytest.raises(ConfigError, match=r"the smallest mlp tried takes .* 2 ms for a row"):
        fitted("51 kB, 1.9 ms")
    assert len(list(tmp_path.glob("*-table*"))) == 2  # nothing is left of the third


def test_the_export_of_a_narrowed_net_keeps_what_was_asked_for(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", str(table), "a, b -> y", "--steps", "5", "--plan", "default", "--model", NET.replace("256", "1024"), "--fit-into", "1 MB, 1 s", "--out", str(tmp_path)]

    assert main(words) == 0

    (run,) = (path for path in tmp_path.glob("*-table") if path.is_dir())
    fits = json.loads((run / "run.json").read_text())["fits"]
    assert fits["kept"] and fits["form"] == "int8" and 0 < fits["bytes"] < 1e6 and Path(fits["export"]).is_dir()
    assert "keep the size and time asked for" in (run / "report.html").read_text()
    assert f"fits into 1 MB, 1 s: {fits['export']}" in capsys.readouterr().out
    assert main(["predict", fits["export"], str(table), "--out", str(tmp_path / "answers.csv")]) == 0


@pytest.mark.parametrize("widths", ((128, 784), (8, 12), (1024, 1024)))
@pytest.mark.parametrize("most", (8e3, 4e4, 1e6, float("inf")))
def test_rows_that_tell_what_is_unlike_them_take_no_more_than_they_may(widths: tuple[int, ...], most: float) -> None:
    rows, axes = ood.kept_within(most, widths)

    taken = sum(2 * width * min(axes, width) + 4 * width + rows * (2 * min(axes, width) + 2) for width in widths)
    assert rows == 0 or taken <= most
    assert most < 1e6 or (rows, axes) == (ood.MOST_ROWS, ood.AXES) or taken > 0.9 * most
