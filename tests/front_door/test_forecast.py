"""A forecast from the front door: a type in a file of its own arranges rows over time as windows."""

from __future__ import annotations

import math
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import mapsto
from mapsto import registry

pytestmark = pytest.mark.usefixtures("one_thread")
TIDE = [round(2 + math.sin(0.4 * t) + 0.5 * math.sin(0.13 * t), 5) for t in range(900)]


@pytest.fixture
def series(monkeypatch: pytest.MonkeyPatch) -> None:
    """The type as a package adds it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delitem(sys.modules, "series", raising=False)
    point = EntryPoint("series", "series", "mapsto.types")
    monkeypatch.setattr(registry, "_outside", lambda room: (point,) if room == "types" else ())


def test_what_comes_next_in_a_series(series: None, tmp_path: Path) -> None:
    rows = [{"hour": t, "level": level} for t, level in enumerate(TIDE)]
    run = mapsto.train(rows, "level:series(past=12, ahead=3) -> ahead:series(ahead=3)", time="hour", model="linear", optimizer="adamw",
                       lr=0.05, batch=64, steps=200, threads=1, out=tmp_path, emit=lambda event: None)
    assert run.metrics["test"]["ahead"]["mae"]["value"] < 0.05          # the mean is .6 away
    assert run.record["rows"]["test"] > 20 and (run.path / "report.html").exists()

    forecast = mapsto.load(run.path).predict({"level": TIDE[:300]})[-1].predictions["ahead"].value
    assert forecast == pytest.approx(TIDE[300:303], abs=0.15)           # it goes on where the history ends
