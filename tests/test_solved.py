"""The linear baseline as a run of its own: `--model baseline` answers what is printed beside every net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mapsto
from mapsto import api
from mapsto.errors import ConfigError

pytestmark = pytest.mark.usefixtures("without_reports", "one_thread")


def ignore(event: object) -> None:
    """Tests read results, not progress."""


def a_table() -> pd.DataFrame:
    """Three classes, a number and labels of numbers (one far out, some missing) and a name."""
    draw = np.random.default_rng(0)
    x, z, name = draw.normal(size=300), draw.normal(size=300), draw.choice(list("abcd"), 300)
    x[5] = 1e3
    kind = np.digitize(0.7 * x + (name == "a") + 0.4 * z + 0.4 * draw.normal(size=300), [-0.5, 0.6])
    labels = [";".join(label for label, held in zip("pqr", (a > 0, b > 0, a + b > 0.3), strict=True) if held) for a, b in zip(x, z, strict=True)]
    amount = 1000 + 50 * x.clip(-3, 3) + 20 * z + 5 * draw.normal(size=300)
    return pd.DataFrame({"x": x, "z": np.where(draw.random(300) < 0.1, np.nan, z), "name": name, "kind": kind, "labels": labels, "amount": amount})


def some_photos() -> list[dict[str, Any]]:
    """Pictures of more pixels than the baseline has features: it hashes them."""
    draw = np.random.default_rng(1)
    shade = np.linspace(0, 30, 24)[:, None, None]
    return [{"photo": np.clip(draw.normal(110, 60, (24, 24, 3)) + (i % 3) * shade, 0, 255).astype(np.uint8), "kind": "abc"[i % 3]} for i in range(150)]


def some_texts() -> list[dict[str, str]]:
    draw = np.random.default_rng(2)
    words = [f"word{i}" for i in range(400)]
    return [{"text": " ".join(draw.choice(words[: 260 if i % 2 else 400], 8)), "kind": "ab"[i % 2]} for i in range(300)]


@pytest.mark.parametrize(
    ("made", "signature"),
    [
        (a_table, "x, z, name -> kind:category, amount:number"),
        (a_table, "x, z, name -> labels:categories"),
        (some_photos, "photo:image -> kind:category"),
        (some_texts, "text:text -> kind:category"),
    ],
    ids=["classes and numbers", "labels", "pictures", "texts"],
)
def test_the_baseline_as_a_run_has_the_figures_that_are_printed(made: Any, signature: str, tmp_path: Path) -> None:
    run = mapsto.train(made(), signature, model="baseline", out=tmp_path, emit=ignore)
    calibrated = ("log_loss", "auc")  # of classes: a run's probabilities are calibrated, the line's are not
    for slot, metrics in run.metrics["test"].items():
        beside = run.metrics["baselines"][slot]["linear"]
        for name, found in metrics.items():
            if name not in calibrated:
                assert found["value"] == pytest.approx(beside[name]["value"], abs=1e-4, rel=1e-3), f"{slot} {name}"
    assert run.status == "done" and run.record["steps"] == 0


def test_it_is_opened_reproduced_and_extended_as_any_other(tmp_path: Path) -> None:
    table = a_table()
    run = mapsto.train(table.to_csv(tmp_path / "t.csv", index=False) or tmp_path / "t.csv", "x, z, name -> kind:category", model="baseline", out=tmp_path, emit=ignore)
    answers = [answer.predictions["kind"].value for answer in api.load(run.path).predict(table)]
    assert set(answers) <= {0, 1, 2} and np.mean(np.array(answers) == table["kind"]) > 0.5
    assert api.reproduce(run.path, ignore)[1]
    assert api.extend(run.path, emit=ignore).status == "done"


def test_what_would_change_nothing_or_is_no_line_is_refused(tmp_path: Path) -> None:
    for options, said in (({"steps": 5}, "would change nothing"), ({}, "not of its logarithm")):
        signature = "x, z -> kind:category" if options else "x, z -> amount:number(log=true)"
        with pytest.raises(ConfigError, match=said):
            mapsto.train(a_table(), signature, model="baseline", out=tmp_path, emit=ignore, **options)
    assert not list(tmp_path.iterdir())
