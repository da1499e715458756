"""Scan, split and store: equal rows stay together, shares are what was said, cells come back as they were read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsto.batch import Batch, Draw, Padded
from mapsto.config import Reading
from mapsto.data.open import open_source
from mapsto.data.scan import scan
from mapsto.data.split import TEST, TRAIN, VALIDATION, split
from mapsto.data.store import Order, Store, prepare
from mapsto.signature import parse
from mapsto.types.category import Category
from mapsto.types.number import Number


def scanned(rows: list[dict], targets: tuple[str, ...] = ("y",)) -> object:
    source = open_source(rows, Reading())
    return scan(source, [name for name in source.columns if name not in targets], targets, group=None, time=None, weight=None)


@given(st.lists(st.integers(0, 40), min_size=4, max_size=300), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_equal_inputs_share_a_split(values: list[int], seed: int) -> None:
    found = scanned([{"x": value, "y": i % 3} for i, value in enumerate(values)])
    of = split(found, Reading(split_seed=seed)).of
    assert all(len({int(of[i]) for i, value in enumerate(values) if value == each}) == 1 for each in set(values))


def test_small_sets_are_shared_class_by_class() -> None:
    of = split(scanned([{"x": i, "y": "rare" if i % 10 == 0 else "common"} for i in range(500)]), Reading()).of
    for name in (0, 1):
        counts = Counter(int(part) for i, part in enumerate(of) if (i % 10 == 0) == bool(name))
        total = sum(counts.values())
        assert counts[TEST] == round(0.2 * total) and counts[VALIDATION] == round(0.15 * total)


def test_large_sets_keep_their_rows_when_others_come() -> None:
    rows = [{"x": i, "y": 0.5 * i} for i in range(6000)]
    before, after = split(scanned(rows[:5500]), Reading()).of, split(scanned(rows), Reading()).of
    assert (before == after[:5500]).all()
    assert 0.08 < (after == TEST).mean() < 0.12


@pytest.mark.parametrize("count", [30, 3000])
def test_folds_test_each_row_once(count: int) -> None:
    found = scanned([{"x": i, "y": i % 2} for i in range(count)])
    parts = [split(found, Reading(folds=5), fold).of for fold in range(5)]
    assert (sum((of == TEST).astype(int) for of in parts) == 1).all()
    assert all((of == TRAIN).any() and (of == VALIDATION).any() for of in parts)


def test_the_sample_is_bounded_and_knows_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.data.scan.SAMPLE_ROWS", 500)
    found = scanned([{"x": i, "y": "once" if i == 4321 else "often"} for i in range(5000)])
    assert 200 < len(found.sample["x"]) <= 500
    assert set(found.distinct["y"]) == {"once", "often"}


def test_the_sample_of_pictures_does_not_depend_on_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.data.scan.HEAVY", 20)
    rows = [{"x": np.full((4, 4), i, np.uint8), "y": "ab"[i > 100]} for i in range(200)]
    there, back = (sorted(int(cell[0, 0]) for cell in scanned(order).sample["x"]) for order in (rows, rows[::-1]))
    assert there == back and len(there) == 20 and there[0] <= 100 < there[-1]


def test_an_epoch_holds_each_row_once() -> None:
    order = Order(10, seed=3)
    taken = np.concatenate([order.take(start, 4) for start in range(0, 40, 4)])
    assert all(sorted(taken[low : low + 10]) == list(range(10)) for low in range(0, 40, 10))
    assert (Order(10, seed=3).take(12, 9) == taken[12:21]).all()


def test_cells_come_back_and_the_second_time_nothing_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path))
    source = open_source([{"x": 1.5, "y": "b"}, {"x": None, "y": "a"}, {"x": "oops", "y": "b"}], Reading())
    signature = parse("x:number -> y:category")
    signature = signature.with_slots(
        *(tuple(type(s)(s.name, s.type, s.options, s.name) for s in side) for side in (signature.inputs, signature.outputs))
    )
    types = {("input", "x"): Number().fit([1.5, 2.5], {}), ("output", "y"): Category().fit(["a", "b"], {"side": "output"})}
    folder = prepare(source, signature, types, 3)
    store = Store(folder, signature, types, np.zeros(3, np.int8), None)
    raw = store.raw(np.arange(3))
    assert raw["input", "x"][0] == 1.5 and torch.isnan(raw["input", "x"][1:]).all()
    assert store.size("train") == 2 and store.problems[0]["row"] == 2 and "oops" in store.problems[0]["why"]
    assert "oops" in (folder / "quarantine.csv").read_text()
    monkeypatch.setattr(Number, "encode_column", lambda *words: pytest.fail("encoded twice"))
    assert prepare(source, signature, types, 3) == folder


def test_one_draw_serves_every_slot_and_every_cut() -> None:
    draw = Draw(seed=1, step=5, size=8)
    assert torch.equal(draw.uniform("flip", 2), Draw(1, 5, 8).uniform("flip", 2))
    assert not torch.equal(draw.uniform("flip"), Draw(1, 6, 8).uniform("flip"))


def test_a_batch_is_cut_with_all_its_parts() -> None:
    partner = Batch({}, {"y": torch.arange(4)}, 4, weight=torch.rand(4))
    batch = Batch(
        {"t": Padded(torch.zeros(4, 7), torch.tensor([7, 1, 2, 3])), "b": [torch.zeros(i, 2) for i in range(4)]},
        {"y": torch.arange(4)},
        4,
        parts={"partner": partner},
    )
    piece = batch.slice(1, 3)
    assert piece.size == 2 and piece.inputs["t"].lengths.tolist() == [1, 2] and [len(v) for v in piece.inputs["b"]] == [1, 2]
    assert piece.parts["partner"].targets["y"].tolist() == [1, 2] and piece.inputs["t"].mask.sum() == 3
