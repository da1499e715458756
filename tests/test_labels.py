"""Likely wrong labels: one in twenty is planted in a table, in texts and in pictures, and most of those named are these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapsto
from mapsto.assess import labels
from mapsto.assess._ask import view_on
from mapsto.blocks import Gallery, Table
from mapsto.measure import label_errors

pytestmark = pytest.mark.usefixtures("without_reports")

Rows = list[dict[str, Any]]
N = 500


def a_table(draw: np.random.Generator) -> Rows:
    """Four clouds in six columns, of which two tell them apart."""
    kinds = draw.integers(0, 4, N)
    places = draw.normal(size=(N, 6))
    places[:, 0] += 5 * (kinds % 2)
    places[:, 1] += 5 * (kinds // 2)
    return [{**{f"x{j}": float(x) for j, x in enumerate(row)}, "y": "abcd"[k]} for row, k in zip(places, kinds, strict=True)]


def some_texts(draw: np.random.Generator) -> Rows:
    words = (["bright", "warm", "lovely", "clever", "fresh", "happy"], ["dull", "cold", "tired", "clumsy", "stale", "bitter"])
    others = [f"{a}{b}" for a in ("bar", "lon", "mer", "tis", "vol") for b in ("ano", "ette", "ick", "ula")]
    found = []
    for i in range(N):
        said = [*draw.choice(words[i % 2], 3), *draw.choice(others, 6)]
        found.append({"text": " ".join(draw.permutation(said).tolist()), "y": ("good", "bad")[i % 2]})
    return found


def some_pictures(draw: np.random.Generator) -> Rows:
    found = []
    for i in range(N):
        wave = np.sin(np.arange(12) * draw.uniform(0.8, 1.3) + draw.uniform(0, 6))
        picture = 128 + 60 * np.expand_dims(wave, i % 2) + 40 * (i % 2) + draw.normal(0, 15, (12, 12))
        found.append({"photo": picture.clip(0, 255).astype(np.uint8), "y": ("across", "down")[i % 2]})
    return found


def with_wrong_labels(rows: Rows, draw: np.random.Generator) -> tuple[Rows, set[int]]:
    """One in twenty labels another one; which."""
    names = sorted({row["y"] for row in rows})
    wrong = set(draw.choice(len(rows), len(rows) // 20, replace=False).tolist())
    return [{**row, "y": str(draw.choice([n for n in names if n != row["y"]])) if i in wrong else row["y"]} for i, row in enumerate(rows)], wrong


@pytest.mark.parametrize(
    ("make", "signature", "model"),
    [(a_table, "* -> y:category", "mlp(width=16,members=2)"), (some_texts, "text -> y:category", None), (some_pictures, "photo:image -> y", None)],
    ids=["table", "texts", "pictures"],
)
def test_planted_labels_are_named(make: Any, signature: str, model: str | None, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows, wrong = with_wrong_labels(make(draw), draw)
    run = mapsto.train(rows, signature, steps=60, model=model or None, threads=1, out=tmp_path, emit=lambda event: None)
    section = labels.assess(view_on(run), 3.0)

    named = set(section.figures["y"]["where"])
    assert len(named & wrong) >= 0.85 * len(named) and len(named & wrong) >= 0.7 * len(wrong)
    assert 0.02 < section.figures["y"]["wrong_share"] < 0.1
    table = next(block for block in section.blocks if isinstance(block, Table))
    gallery = next(block for block in section.blocks if isinstance(block, Gallery))
    assert len(table.rows) == len(named) and table.private and gallery.private
    assert {row[4] for row in table.rows} == {"held back", "learned from"}
    assert f"{len(named)} of {N} rows" in section.headline.lower()


def test_right_labels_are_left_alone(tmp_path: Path) -> None:
    rows = a_table(np.random.default_rng(1))
    run = mapsto.train(rows, "* -> y:category", steps=60, model="mlp(width=16,members=2)", threads=1, out=tmp_path, emit=lambda event: None)
    found = labels.assess(view_on(run), 3.0).figures["y"]
    assert found["doubted"] <= 0.01 * N


def test_a_number_has_no_wrong_class(table: Path, tmp_path: Path) -> None:
    run = mapsto.train(table, "x, shop -> y", steps=2, model="linear", out=tmp_path, emit=lambda event: None)
    assert not labels.asks(view_on(run))


def test_the_confident_joint() -> None:
    """By hand: the classes' thresholds are .8 and .7; the second row is surely 1 though given 0, the last is sure of nothing."""
    probability = np.array([[0.95, 0.05], [0.1, 0.9], [0.95, 0.05], [0.3, 0.7], [0.3, 0.7]])
    target = np.array([0, 0, 0, 1, 1])
    assert label_errors.joint(probability, target).tolist() == [[2, 1], [0, 2]]
    assert label_errors.wrong_share(probability, target) == pytest.approx(1 / 5)
    assert label_errors.doubted(probability, target).tolist() == [1]


def test_out_of_fold_never_sees_its_own_row() -> None:
    draw = np.random.default_rng(2)
    values, target = draw.normal(size=(300, 200)).astype(np.float32), draw.integers(0, 2, 300)
    probability = label_errors.out_of_fold(values, target, 2)
    assert 0.35 < (probability.argmax(1) == target).mean() < 0.65  # 200 columns of noise learn 300 rows by heart, were they seen
    assert np.allclose(probability.sum(1), 1)


def test_few_rows_and_rare_classes_are_cases() -> None:
    values = np.eye(6, dtype=np.float32)
    probability = label_errors.out_of_fold(values, np.array([0, 0, 0, 0, 0, 2]), 3)
    assert probability.shape == (6, 3) and np.isfinite(probability).all()
    assert len(label_errors.doubted(np.ones((4, 1)), np.zeros(4, int))) == 0
