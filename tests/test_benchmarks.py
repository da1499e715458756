"""The benchmarks' own arithmetic: turns, ratios, what fails, what is kept, which bars hold. Nothing here is timed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import gpu, products, results  # noqa: E402
from benchmarks.parts import measures  # noqa: E402
from benchmarks.turns import Failed, Process, ratio, take_turns  # noqa: E402
from benchmarks.workloads import names, workload_of  # noqa: E402

COUNTING = """
import sys
sys.path.insert(0, {root!r})
from benchmarks.clock import Clock, Over
try:
    clock = Clock()
    while True:
        print("what a library prints does not disturb")
        clock.step({rows})
except Over:
    print("over", file=sys.stderr)
"""


class Fake:
    """Takes turns at a steady rate, writes down when, and may fail at one of them."""

    def __init__(self, name: str, rate: float, log: list[str], fails_at: int | None = None):
        self.name, self.rate, self.log, self.fails_at, self.turns = name, rate, log, fails_at, 0

    def turn(self, seconds: float, steps: int) -> dict[str, Any]:
        self.log.append(self.name)
        self.turns += 1
        if self.turns == self.fails_at:
            raise Failed("it broke")
        return {"rows": self.rate * 2, "steps": steps, "seconds": 2.0, "cpu": 4.0}

    def close(self) -> None:
        self.log.append(f"{self.name} closed")


def test_contenders_alternate_and_are_closed() -> None:
    log: list[str] = []

    found = take_turns([Fake("a", 100, log), Fake("b", 50, log)], rounds=3, seconds=1, steps=1, warm=1)

    assert log == ["a", "b"] * 4 + ["a closed", "b closed"]  # the first of the four warms up
    assert found["a"]["rates"] == [100.0] * 3
    assert found["b"]["cpu"] == [40.0] * 3  # seconds of processor time per thousand rows


@pytest.mark.parametrize("fails_at", [1, 3])
def test_who_fails_is_out_and_the_others_go_on(fails_at: int) -> None:
    log: list[str] = []

    found = take_turns([Fake("a", 100, log, fails_at), Fake("b", 50, log)], rounds=4, seconds=1, steps=1, warm=1)

    assert found["a"] == {"failed": "it broke"}
    assert len(found["b"]["rates"]) == 4
    assert log.count("a") == fails_at


def test_ratio_compares_neighbours_in_time() -> None:
    assert ratio([10, 1, 10], [5, 0.5, 5]) == 2  # a slow minute slows both
    assert ratio([3, 4, 100], [1, 1, 1]) == 4


def test_a_process_takes_turns_and_ends_when_none_is_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COUNTING.format(root=str(ROOT), rows=7)]
    process = Process("counting", command, {}, tmp_path / "log")

    first, second = process.turn(0.0, 3), process.turn(0.0, 5)
    process.close()

    assert (first["rows"], first["steps"]) == (21, 3)  # the very first step warms up
    assert (second["rows"], second["steps"]) == (35, 5)
    assert "over" in (tmp_path / "log").read_text()


def test_a_process_that_breaks_says_why_in_one_line(tmp_path: Path) -> None:
    process = Process("broken", [sys.executable, "-c", "raise ValueError('no such layer')"], {}, tmp_path / "log")

    with pytest.raises(Failed, match=r"^ValueError: no such layer$"):
        process.turn(0.0, 1)


@pytest.mark.parametrize("name", names())
def test_every_workload_is_whole(name: str) -> None:
    found = workload_of(name)

    assert found.name == name
    assert set(found.bars) <= set(found.peers)
    assert {"ours", "tuned", "plain"} <= set(found.peers)
    assert all((ROOT / "benchmarks" / "peers" / f"{peer}.py").exists() for peer in found.peers)


@pytest.mark.parametrize("name", products.PRODUCTS)
def test_every_product_is_whole(name: str) -> None:
    found = products.PRODUCTS[name]

    assert set(found.own) <= set(found.tutorials)
    assert all((ROOT / "benchmarks" / "tutorials" / f"{tutorial}.py").exists() for tutorial in found.tutorials)
    assert [word.format(**found.data) for word in found.words]


def test_an_unknown_workload_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"(?s)unknown workload 'fashon'.*fashion_resnet"):
        measures(None, ["fashon"])


def test_one_part_can_be_asked_for() -> None:
    assert {part for part, _, _ in measures("products", [])} == {"products"}
    assert [name for _, name, _ in measures(None, ["adult", "gpt_small"])] == ["gpt_small", "adult"]


def engine(ours: float, tuned: float, **more: Any) -> dict[str, Any]:
    """A workload's record."""
    contenders: Mapping[str, Any] = {"ours": {"rates": [ours] * 5, "cpu": [1.0] * 5}, "tuned": {"rates": [tuned] * 5, "cpu": [2.0] * 5}}
    return {"says": "a net", "batch": 8, "bars": {"tuned": 0.95}, "contenders": {**contenders, **more}}


def test_results_accumulate_and_bars_are_judged(tmp_path: Path) -> None:
    results.Record(tmp_path).add("engines", "one", engine(100, 100), quick=False)
    results.Record(tmp_path).add("engines", "two", engine(90, 100, lightning={"failed": "ImportError: no lightning"}), quick=False)

    record = results.Record(tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()

    assert set(json.loads((tmp_path / "RESULTS.json").read_text())["engines"]) == {"one", "two"}
    assert record.holds("engines", "one")
    assert "- holds: one: ours / tuned 1.00 (≥ 0.95)" in page
    assert "- **missed**: two: ours / tuned 0.90 (≥ 0.95)" in page
    assert "two, lightning: ImportError: no lightning" in page


def test_a_quick_measurement_counts_as_missing(tmp_path: Path) -> None:
    results.Record(tmp_path).add("engines", "one", engine(100, 100), quick=True)

    assert not results.Record(tmp_path).holds("engines", "one")


@pytest.mark.parametrize("name", list(gpu.WORKLOADS))
def test_what_is_compared_on_gpus_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides of each workload, small enough for a processor: smaller nets, data and batches, nothing compiled."""
    monkeypatch.setattr(gpu.torch, "compile", lambda what, **how: what)
    small = {"resnet50": "resnet(depth=50, width=4, preactivation=false)", "gpt124": "gpt(width=16, depth=1, heads=1)", "cifar": "resnet9(width=8)"}
    make = gpu.letters if name == "gpt124" else gpu.pictures(32, 300, 10)
    signature = gpu.WORKLOADS[name].signature.replace("1024", "16").replace("50304", "64")
    options = {**gpu.WORKLOADS[name].options, "model": small[name], "batch": 4, "plan": "default"}

    found = gpu.compared(replace(gpu.WORKLOADS[name], make=make, signature=signature, options=options), tmp_path, steps=20)

    assert found["ours"]["rows_per_second"] > 0 and found["by_hand"] > 0 and found["ratio"] > 0


def test_processor_time_is_compared_too() -> None:
    assert results.effort(engine(100, 100)) == {"tuned": 2.0}


def test_time_to_a_score_is_the_first_moment_it_was_reached() -> None:
    curve = [{"seconds": 1.0, "score": 0.5}, {"seconds": 2.0, "score": 0.9}, {"seconds": 3.0, "score": 0.8}]

    assert products._reached(curve, 0.8, higher=True) == 2.0
    assert products._reached(curve, 0.95, higher=True) is None
    assert products._reached([{"seconds": 4.0, "score": 1.87}], 1.88, higher=False) == 4.0
