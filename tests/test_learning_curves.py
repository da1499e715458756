"""How a training went, as the report draws it: losses in one drawing, and the rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapsto
from mapsto.blocks import Line, Lines
from mapsto.report import facts
from mapsto.report.figures import lines


@pytest.mark.usefixtures("without_reports")
def test_losses_stand_in_one_drawing_and_the_rate_in_another(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=300)
    rows: list[dict[str, Any]] = [{"x": float(v), "sign": "up" if v > 0 else "down"} for v in x]
    run = mapsto.train(rows, "x -> sign:category", steps=40, model="linear", out=tmp_path, emit=lambda event: None)
    section = facts.curves(run)
    assert section is not None
    loss, *_, rate = [block for block in section.blocks if isinstance(block, Lines)]
    assert [line.name for line in loss.lines] == ["training loss, mean since the last look", "validation loss"]
    assert not any(block.y.startswith("log loss") for block in section.blocks if isinstance(block, Lines))
    assert rate.y == "learning rate" and rate.lines[0].x[0] == 0 and rate.lines[0].x[-1] == 40
    values = np.array(rate.lines[0].y, float)
    assert values.max() == pytest.approx(run.choice.training.lr, rel=0.05) and values[-1] < 0.1 * values.max()


def test_dots_are_one_path_on_equal_axes() -> None:
    dots = Line("a row", (100.0, 900.0), (300.0, 500.0), joined=False)
    drawn = str(lines(Lines((dots,), "predicted", "true", diagonal=True)))
    assert drawn.count("h0") == 2 and drawn.count(">0<") == 2  # both axes begin alike
