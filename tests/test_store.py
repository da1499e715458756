"""Scan, split and store: equal rows stay together, shares are what was said, cells come back as they were read."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsto.batch import Batch, Draw, Padded, Ragged
from mapsto.config import Reading, Training
from mapsto.data.encode import encode_source
from mapsto.data.open import open_source
from mapsto.data.order import Order
from mapsto.data.packed import worth_packing
from mapsto.data.scan import scan
from mapsto.data.split import TEST, TRAIN, VALIDATION, split
from mapsto.data.store import Store
from mapsto.learners.supervised import Supervised
from mapsto.models import build
from mapsto.signature import Signature, Slot, parse
from mapsto.training.plan import Plan
from mapsto.training.trainer import Trainer
from mapsto.types.base import Layout
from mapsto.types.category import Category
from mapsto.types.image import Image
from mapsto.types.number import Number
from mapsto.types.text import Text


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


@given(st.lists(st.integers(1, 500), min_size=1, max_size=200), st.integers(1, 40), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_batch_is_two_pieces_of_like_length_and_no_row_is_lost(lengths: list[int], batch: int, seed: int) -> None:
    rows, taken = len(lengths), Order(len(lengths), seed, np.array(lengths), batch)
    pool = taken.pool
    plain = Order(rows, seed)
    for start in range(0, 3 * pool, pool):
        together = taken.take(start, pool)
        assert sorted(together) == sorted(plain.take(start, pool))  # the same rows in the same stretch
        if taken.cuts:
            halves = np.split(np.array(lengths)[together].reshape(-1, batch), taken.cuts, axis=1)
            assert halves[0].max() <= halves[1].min()
            for half in halves:  # each half's pieces lie one above the other
                pieces = half[np.argsort(half.sum(1))]
                assert (pieces[:-1].max(1) <= pieces[1:].min(1)).all()
    again = Order(rows, seed, np.array(lengths), batch)  # as after a resume: a step's rows do not depend on those before
    assert (again.take(2 * batch, batch) == taken.take(2 * batch, batch)).all()


def of_texts(texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path))
    source = open_source([{"x": text, "y": i % 2} for i, text in enumerate(texts)], Reading())
    signature = parse("x:text -> y:category")
    signature = signature.with_slots(*(tuple(replace(slot, column=slot.name) for slot in side) for side in (signature.inputs, signature.outputs)))
    column_type = Text(max=300)
    types = {
        ("input", "x"): column_type.fit([column_type.read(text) for text in texts], {"side": "input", "rows": len(texts), "name": "x"}),
        ("output", "y"): Category().fit(["0", "1"], {"side": "output"}),
    }
    return Store(encode_source(source, signature, types, len(texts)), signature, types, np.zeros(len(texts), np.int8), None)


def test_ragged_cells_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a b c", "", "word " * 50, "\u4f60\u597d \U0001f600", "a b c"]
    store = of_texts(texts, tmp_path, monkeypatch)
    column_type = store.types["input", "x"]
    for text, cell in zip(texts, store.raw(np.arange(5))["input", "x"], strict=True):
        np.testing.assert_array_equal(cell.numpy(), column_type.encode(column_type.read(text)))
    assert store.lengths(np.array([4, 1])).tolist() == [4, 1]  # tokens, without the counted runs
    batch = store.batch(np.array([2, 0]))
    assert batch.inputs["x"].lengths.tolist() == [51, 4] and batch.slice(1, 2).inputs["x"].lengths.tolist() == [4]


def test_a_walk_goes_by_length_and_holds_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = of_texts([" ".join("abcdefghijk"[: 1 + i * 7 % 11]) for i in range(40)], tmp_path, monkeypatch)
    batches = list(store.iterate("train", 8))
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == list(range(40))
    longest = [int(batch.inputs["x"].lengths.max()) for batch in batches]
    assert longest == sorted(longest) and longest[0] < longest[-1]


def test_memory_is_probed_where_the_longest_rows_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = of_texts([" ".join(f"w{k}" for k in range(i, i + (200 if i == 77 else 3))) for i in range(400)], tmp_path, monkeypatch)
    usual, heaviest = store.steps_to_probe("train", 8, seed=0)
    assert next(store.stream("train", heaviest, 8, 0)).inputs["x"].values.shape[1] == 201
    assert next(store.stream("train", usual, 8, 0)).inputs["x"].values.shape[1] == 4
    assert store.steps_to_probe("test", 8, seed=0) == (0, 0)


def test_rows_of_a_batch_are_cut_and_picked() -> None:
    cells = Ragged.of([np.arange(length, dtype=np.int32) + 10 * length for length in (2, 0, 3, 1)])
    assert [part.tolist() for part in cells[1:3]] == [[], [30, 31, 32]] and cells[2:].flat.data_ptr() > cells.flat.data_ptr()
    assert [part.tolist() for part in cells[torch.tensor([3, 1, 0])]] == [[10], [], [20, 21]]
    assert cells.row.tolist() == [0, 0, 2, 2, 2, 3] and cells.starts.tolist() == [0, 2, 2, 5] and len(Ragged.of([])) == 0


def test_pieces_hold_little_padding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    store = of_texts([" ".join(f"w{i}" for i in range(int(draw.integers(1, 60)))) for _ in range(1500)], tmp_path, monkeypatch)
    held = cells = 0
    for _, batch in zip(range(46), store.stream("train", 0, 32, 0), strict=False):
        assert batch.pieces(1000) == [(0, 16), (16, 32)] and batch.pieces(10) == [(0, 10), (10, 16), (16, 26), (26, 32)]
        for low, high in batch.pieces(1000):
            piece = batch.slice(low, high).inputs["x"]
            held, cells = held + int(piece.lengths.sum()), cells + piece.values.numel()
    assert 0 < cells - held < 0.1 * cells


def test_pieces_give_the_gradient_of_the_shuffled_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = of_texts([" ".join("abcdefghijklmnopqrst"[: 1 + i * 7 % 19]) for i in range(64)], tmp_path, monkeypatch)
    torch.manual_seed(0)
    model = build("textcnn", store.signature, store.types, {"dropout": 0.0, "noise": 0.0, "token": 8, "channels": 8}, {"y": "classes"})
    trainer = Trainer(Supervised(model, store.signature, store.types, store, Training(optimizer="adamw", lr=0.1, batch=32)))
    trainer.updater.plan = Plan("cpu", micro_batch=32)
    batch = store.batch(next(store.stream("train", 0, 32, 0)).rows.numpy(), None, (16,))
    shuffled = store.batch(batch.rows.numpy()[np.random.default_rng(0).permutation(32)])

    def gradients(of: Batch) -> list[torch.Tensor]:
        trainer.updater.gradients(trainer.learner.loss, of, torch.optim.SGD(model.parameters(), 0.0))
        return [value.grad.clone() for value in model.parameters()]

    for whole, pieces in zip(gradients(shuffled), gradients(batch), strict=True):
        torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-4)


def test_threads_may_ask_for_batches_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = of_texts([" ".join("abcdefghijk"[: 1 + i * 7 % 11]) for i in range(200)], tmp_path, monkeypatch)
    parts = [np.arange(i, i + 40) for i in range(0, 160, 4)]
    alone = [store.batch(part, Draw(0, i, 40)) for i, part in enumerate(parts)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: store.batch(one[1], Draw(0, one[0], 40)), enumerate(parts)))
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a.inputs["x"].values, b.inputs["x"].values) and torch.equal(a.inputs["x"].bags.flat, b.inputs["x"].bags.flat)


def test_rows_that_are_all_alike_leave_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.data.scan.SAMPLE_ROWS", 500)
    assert 200 < len(scanned([{"x": "same", "y": i % 2} for i in range(3000)]).sample["x"]) <= 500


def test_the_sample_of_long_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.data.scan.SAMPLE_CHARACTERS", 100_000)
    found = scanned([{"x": f"{i} " * 300, "y": i % 2} for i in range(1500)])
    assert 30_000 < sum(map(len, found.sample["x"])) <= 100_000
    assert len(found.sample["x"]) == len(found.sample_rows["x"]) == len(found.sample["y"])


def test_cells_come_back_and_the_second_time_nothing_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path))
    source = open_source([{"x": 1.5, "y": "b"}, {"x": None, "y": "a"}, {"x": "oops", "y": "b"}], Reading())
    signature = parse("x:number -> y:category")
    signature = signature.with_slots(
        *(tuple(type(s)(s.name, s.type, s.options, s.name) for s in side) for side in (signature.inputs, signature.outputs))
    )
    types = {("input", "x"): Number().fit([1.5, 2.5], {}), ("output", "y"): Category().fit(["a", "b"], {"side": "output"})}
    folder = encode_source(source, signature, types, 3)
    store = Store(folder, signature, types, np.zeros(3, np.int8), None)
    raw = store.raw(np.arange(3))
    assert raw["input", "x"][0] == 1.5 and torch.isnan(raw["input", "x"][1:]).all()
    assert store.size("train") == 2 and store.problems[0]["row"] == 2 and "oops" in store.problems[0]["why"]
    assert "oops" in (folder / "quarantine.csv").read_text()
    monkeypatch.setattr(Number, "encode_column", lambda *words: pytest.fail("encoded twice"))
    assert encode_source(source, signature, types, 3) == folder


@pytest.mark.parametrize(("planes", "bits"), [(1, 8), (3, 8), (1, 16), (3, 16)])
def test_compressed_pictures_train_as_raw_ones_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planes: int, bits: int) -> None:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path))
    pictures = np.random.default_rng(0).integers(0, 1 << bits, (40, 33, 40, planes)).astype(f"uint{bits}")
    source = open_source([{"x": picture, "y": i % 2} for i, picture in enumerate(pictures)], Reading())
    slots = (Slot("x", "image", {}, "x"),), (Slot("y", "category", {}, "y"),)
    column_type = Image(size=33, augment="crop flip").fit(list(pictures[:4]), {"side": "input", "rows": 4, "name": "x"})
    types = {("input", "x"): column_type, ("output", "y"): Category().fit(["0", "1"], {"side": "output"})}
    folders = [encode_source(source, Signature(*slots), types, 40, kept=kept) for kept in ("raw", "compressed", None)]
    assert folders[0] != folders[1] and folders[2] == folders[0]  # so few fit into memory
    raw, compressed = (Store(folder, Signature(*slots), types, np.zeros(40, np.int8), None) for folder in folders[:2])
    assert list(folders[1].glob("p0.values.bin")) and not list(folders[0].glob("p0.*"))
    for a, b, _ in zip(raw.stream("train", 0, 16, 0), compressed.stream("train", 0, 16, 0), range(3), strict=False):
        assert torch.equal(a.inputs["x"], b.inputs["x"]) and torch.equal(a.targets["y"], b.targets["y"])


@pytest.mark.parametrize("bits", [8, 16])
def test_rows_of_a_store_held_on_the_device_are_those_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int) -> None:
    """Blocks of pictures, two numbers side by side and classes; whole rows, and one of the numbers alone."""
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path))
    draw = np.random.default_rng(0)
    pictures = draw.integers(0, 1 << bits, (40, 12, 12, 3)).astype(f"uint{bits}")
    source = open_source([{"x": picture, "a": i / 3, "b": -i, "y": i % 2} for i, picture in enumerate(pictures)], Reading())
    slots = (*(Slot(name, kind, {}, name) for name, kind in (("x", "image"), ("a", "number"), ("b", "number"))),), (Slot("y", "category", {}, "y"),)
    column_type = Image(size=12, augment="crop flip").fit(list(pictures[:4]), {"side": "input", "rows": 4, "name": "x"})
    numbers = {("input", name): Number().fit([0.0, 1.0], {}) for name in "ab"}
    types = {("input", "x"): column_type, **numbers, ("output", "y"): Category().fit(["0", "1"], {"side": "output"})}
    folder = encode_source(source, Signature(*slots), types, 40)
    host, held = (Store(folder, Signature(*slots), types, np.zeros(40, np.int8), None) for _ in range(2))

    held.hold()
    rows = draw.permutation(40)[:7]

    assert held.bytes == 40 * (12 * 12 * 3 * bits // 8 + 2 * 8 + 4)
    for only in (None, [("input", "b")]):
        a, b = host.raw(rows, only), held.raw(rows, only)
        assert set(a) == set(b) and all(a[spot].dtype == b[spot].dtype and torch.equal(a[spot], b[spot]) for spot in a)
    for a, b, _ in zip(host.stream("train", 0, 16, 0), held.stream("train", 0, 16, 0), range(3), strict=False):
        assert torch.equal(a.inputs["x"], b.inputs["x"]) and torch.equal(a.targets["y"], b.targets["y"])  # type: ignore[arg-type]


def test_a_processor_holds_no_second_copy_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = of_texts(["one two", "three"], tmp_path, monkeypatch)

    store.place(torch.device("cpu"))

    assert store.device == torch.device("cpu") and not store._held


def test_sets_beyond_memory_are_compressed(tmp_path: Path) -> None:
    (tmp_path / "source.jpg").write_bytes(b"0" * 1000)
    photo, number = Layout("uint8", (3, 224, 224)), Layout("float64")
    assert worth_packing([photo, number], 10**9, [str(tmp_path)], tmp_path)
    assert not worth_packing([photo, number], 100, [str(tmp_path)], tmp_path)
    assert not worth_packing([number, Layout("int32", (None,))], 10**12, [str(tmp_path)], tmp_path)


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
    half = replace(batch, cuts=(2,)).every(1, 2)
    assert half.size == 2 and half.cuts == (1,) and half.inputs["t"].lengths.tolist() == [1, 3] and half.parts["partner"].size == 2


def test_rows_without_chance_are_batched_several_steps_at_once_and_the_same_from_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path))
    source = open_source([{"a": 10.0 ** (i % 7), "b": -i, "y": i % 2} for i in range(100)], Reading())
    slots = (Slot("a", "number", {}, "a"), Slot("b", "number", {}, "b")), (Slot("y", "category", {}, "y"),)
    numbers = {("input", name): Number().fit([1.0, 1e6], {"side": "input"}) for name in "ab"}
    types = {**numbers, ("output", "y"): Category().fit(["0", "1"], {"side": "output"})}
    store = Store(encode_source(source, Signature(*slots), types, 100), Signature(*slots), types, np.zeros(100, np.int8), None)
    made = []
    batch_of = store.batch
    monkeypatch.setattr(store, "batch", lambda rows, *rest: made.append(len(rows)) or batch_of(rows, *rest))

    whole = [batch for _, batch in zip(range(20), store.stream("train", 0, 6, 0), strict=False)]
    late = [batch for _, batch in zip(range(9), store.stream("train", 11, 6, 0), strict=False)]

    assert made == [6, 48, 48, 48, 6, 48, 48]
    for a, b in zip(whole[11:], late, strict=True):
        assert all(torch.equal(a.inputs[name], b.inputs[name]) for name in "ab") and torch.equal(a.rows, b.rows)  # type: ignore[arg-type]
