"""What is said of small tables, their baselines and their figures is true of the rows that were learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapsto
from mapsto.report import decisions, facts
from mapsto.run import Run
from mapsto.terminal.results import table as results

pytestmark = pytest.mark.usefixtures("without_reports", "one_thread")
BAG, NET = "mlp(width=8, depth=1, members=2, nets=2)", "mlp(width=8, depth=1, members=2, nets=1)"


def rows(count: int = 120, seed: int = 0) -> list[dict[str, Any]]:
    """y is linear in x; kind: is it above 0?"""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=count)
    y = x + draw.normal(scale=0.5, size=count)
    return [{"x": a, "y": b, "kind": "up" if b > 0 else "down"} for a, b in zip(x.tolist(), y.tolist(), strict=True)]


def train(out: Path, signature: str, data: Any = None, **options: Any) -> tuple[Run, list[dict[str, Any]]]:
    """A run, and what was told meanwhile."""
    told: list[dict[str, Any]] = []
    how = {"model": NET, "steps": 2, "plan": "default"} | options
    return mapsto.train(rows() if data is None else data, signature, out=out, emit=told.append, **how), told


def test_a_run_says_which_rows_it_and_its_baselines_learned_from(tmp_path: Path) -> None:
    bag, told = train(tmp_path, "x -> y:number", model=BAG)
    one, told_of_one = train(tmp_path, "x -> y:number")

    counts = bag.record["rows"]
    learned = counts["train"] + counts["validation"]
    assert results(told[-1])[-1] == f"net and baselines learned from {learned} rows: train and validation"
    assert f"{learned} to learn from and, by nets that had not seen them, to choose by, " in facts.data(bag, True).headline
    assert "on rows that each net had not seen" in str(decisions.decided(bag))
    assert "learned_from" not in told_of_one[-1]
    assert f"{counts['train']} to learn from, {counts['validation']} to choose by" in facts.data(one, True).headline
    assert "on validation rows" in str(decisions.decided(one))
