"""Runs that earlier versions wrote open in this one and say what they said: tests/golden/, written by its `write.py`."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

import mapsto
from mapsto import api
from mapsto.report import reporting
from mapsto.report.compare import compared
from mapsto.run import Run

GOLDEN = Path(__file__).parent / "golden"
RUNS = sorted(path.name for path in GOLDEN.iterdir() if (path / "run.json").exists())
DONE = [name for name in RUNS if not name.endswith("-cut")]
pytestmark = pytest.mark.usefixtures("one_thread")


def write() -> Any:
    """tests/golden/write.py: what it asked of the runs when it wrote them is asked again."""
    spec = importlib.util.spec_from_file_location("golden_write", GOLDEN / "write.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copied(name: str, folder: Path) -> Path:
    """A run as it was handed over: its record names the data where they lie here."""
    run = Path(shutil.copytree(GOLDEN / name, folder / name))
    data = shutil.copytree(GOLDEN / "data", folder / "data", dirs_exist_ok=True)
    write().set_times(data)
    record = (run / "run.json").read_text(encoding="utf-8")
    (run / "run.json").write_text(record.replace('"/data/', f'"{data}/'), encoding="utf-8")
    return run


def expected(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name / "expected.json").read_text(encoding="utf-8"))


def same(found: Any, before: Any) -> bool:
    """Equal, numbers within a millionth."""
    if isinstance(before, dict):
        return found.keys() == before.keys() and all(same(found[key], before[key]) for key in before)
    if isinstance(before, list):
        return len(found) == len(before) and all(map(same, found, before))
    if isinstance(before, float):
        return math.isclose(found, before, rel_tol=1e-6, abs_tol=1e-6)
    return found == before


def test_every_version_left_one_of_each() -> None:
    kinds = {name.partition("-")[2] for name in RUNS}
    assert kinds == set(write().RUNS)
    assert all(f"{version}-{kind}" in RUNS for version in {name.partition("-")[0] for name in RUNS} for kind in kinds)


def test_they_are_small_and_tell_of_no_machine() -> None:
    for name in RUNS:
        files = list((GOLDEN / name).iterdir())
        assert sum(path.stat().st_size for path in files) <= 130_000, name
        assert not [path for path in files if any(place in path.read_bytes() for place in (b"/tmp/", b"/home/", b"/root/", b"/work/"))], name


@pytest.mark.parametrize("name", DONE)
def test_it_says_what_it_said(name: str) -> None:
    run = mapsto.load(GOLDEN / name)
    found = write().answers(run, name.partition("-")[2], GOLDEN / "data")
    assert same(json.loads(json.dumps(found)), expected(name)["answers"])


@pytest.mark.parametrize("name", DONE)
def test_its_figures_and_history_are_read(name: str) -> None:
    run = mapsto.load(GOLDEN / name)
    assert write().scores(run) == expected(name)["test"]
    assert run.history and run.history[-1]["scores"]
    assert str(run.signature) and run.settings.training.seed == 0


def test_all_are_listed() -> None:
    listed = {run.path.name: run.status for run in Run.list(GOLDEN)}
    assert listed == {name: "done" if name in DONE else "running" for name in RUNS}


@pytest.mark.parametrize("name", DONE)
def test_its_page_is_drawn_again(name: str, tmp_path: Path) -> None:
    run = copied(name, tmp_path)
    if not (run / "sections.json").exists():  # nothing was kept of what was asked: not asked for now either, it takes long
        (run / "sections.json").write_text('{"format": 1, "sections": [], "example": {}}')
    page = api.report(run, emit=lambda event: None).read_text(encoding="utf-8")
    assert mapsto.load(run).record["data"]["name"] in page and "</html>" in page


def test_it_is_evaluated_on_data_again(tmp_path: Path) -> None:
    for name in DONE:
        if name.endswith("-table"):
            found = mapsto.load(GOLDEN / name).evaluate(str(GOLDEN / "data" / "cells.csv"))
            assert found["rich"]["accuracy"]["n"] == 420 and found["price"]["r2"]["value"] > 0.5


def test_runs_of_two_versions_are_compared(tmp_path: Path) -> None:
    runs = [str(copied(name, tmp_path)) for name in DONE if name.endswith("-table")]
    if len(runs) < 2:
        pytest.skip("one version so far")
    _, sections = compared(runs, None)
    figures = {section.name.partition("-")[2]: section.figures for section in sections if section.figures}
    assert set(figures) == {"rich", "price"} and all(found["n"] == 84 for found in figures.values())


@pytest.mark.parametrize("name", [name for name in RUNS if name not in DONE])
def test_a_training_that_was_cut_off_goes_on(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "ask", lambda *known: None)  # the questions of its report take longer than its steps
    run = mapsto.resume(copied(name, tmp_path), emit=lambda event: None)
    assert run.status == "done" and run.record["steps"] == 300
    found = write().scores(run)
    assert all(math.isclose(found[slot][one], value, abs_tol=0.02 * max(1, abs(value))) for slot, of in expected(name)["test"].items() for one, value in of.items())
