"""Ratings from the front door: each user's last ones are held back, and no user is too rare to be known."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import mapsto
from mapsto import registry

pytestmark = pytest.mark.usefixtures("one_thread")
USERS, ITEMS = 60, 12


def ratings() -> list[dict]:
    """Ten of each user over time: what a user is like plus what an item is like."""
    rng = np.random.default_rng(0)
    user, item = rng.normal(size=USERS), rng.normal(size=ITEMS)
    rows = [{"user": f"u{u}", "item": f"i{i}", "when": t, "rating": round(float(3 + user[u] + item[i]), 3)}
            for u in range(USERS) for t, i in enumerate(rng.permutation(ITEMS)[:10])]
    return [rows[k] for k in rng.permutation(len(rows))]


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> None:
    """The type as a package adds it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delitem(sys.modules, "member", raising=False)
    point = EntryPoint("member", "member", "mapsto.types")
    monkeypatch.setattr(registry, "_outside", lambda room: (point,) if room == "types" else ())


def test_the_last_ratings_of_each_user_are_foretold(member: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.data.scan.SAMPLE_CELLS", 1500)          # a sample of 500 rows at most
    rows = ratings()
    run = mapsto.train(rows, "user:member, item:member -> rating:number", group="user", time="when", model="linear", optimizer="adamw", lr=0.1,
                       batch=64, steps=300, threads=1, out=tmp_path, emit=lambda event: None)

    with np.load(run.path / "rows.npz") as kept:
        split = kept["split"]
    for user in {row["user"] for row in rows}:
        times = {part: [row["when"] for row, one in zip(rows, split, strict=True) if row["user"] == user and one == part] for part in range(3)}
        assert max(times[0]) < min(times[1]) and max(times[1]) < min(times[2])      # train, then validation, then test
    assert len(run.types["input", "user"].vocabulary) == USERS
    assert run.metrics["test"]["rating"]["r2"]["value"] > 0.7
    assert mapsto.load(run.path).predict({"user": "u3", "item": "i4"}).predictions["rating"].value == pytest.approx(
        next(row["rating"] for row in rows if row["user"] == "u3" and row["item"] == "i4"), abs=1.0)
