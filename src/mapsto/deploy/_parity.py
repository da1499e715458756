"""Does an export answer as its run does? Both are given the same rows, encoded once.

Letters: n rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.batch import Ragged
from mapsto.errors import RunError
from mapsto.lite.exported import Exported
from mapsto.measure.scores import score
from mapsto.outputs.base import Output
from mapsto.prediction import Prediction
from mapsto.run import Run
from mapsto.run.answering import _arrays, batch_of

MOST_ROWS = 20_000  # compared
ALIKE = 1e-4  # of an answer's unit: what float32 may differ by
OTHER = 1e-3  # share of texts that may be others, and not as likely: a search that meets a tie goes elsewhere
ROWS = (1, 2, 3, 17)  # that go through the net together, each tried
CALLS, SECONDS = 300, 1.0  # that latency is taken of, at most
TOGETHER = 32  # rows that throughput is taken of, as `mapsto.lite` puts them together
START = (
    "import json, pathlib, re, sys, time; began = time.perf_counter(); import mapsto.lite;"
    " mapsto.lite.open(sys.argv[1], 1).warm();"
    " seconds = time.perf_counter() - began; status = pathlib.Path('/proc/self/status');"
    " held = re.search(r'VmHWM:\\s+(\\d+)', status.read_text() if status.exists() else '');"
    " print(json.dumps([seconds, int(held[1]) / 1024 if held else None]))"
)


@dataclass(frozen=True)
class Side:
    """What one of both says of the rows. arrays: {output: {name: (n, ...)}} as heads predict them, not
    calibrated; answers: {output: a prediction a row}."""

    arrays: Mapping[str, Mapping[str, np.ndarray]]
    answers: Mapping[str, Sequence[Prediction]]


class Rows:
    """The rows that both are asked about: those the run held back, or where none were its validation rows;
    and among them the heaviest, by the length of their cells."""

    def __init__(self, run: Run, store: Any, most: int = MOST_ROWS):
        self.run, self.store = run, store
        split = next((one for one in ("test", "validation", "train") if store.size(one)), "train")
        self.split, rows = split, store.rows(split)
        self.numbers = rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]

    def __len__(self) -> int:
        return len(self.numbers)

    def encoded(self, rows: np.ndarray) -> dict[Any, Any]:
        return plain_cells(self.store.raw(rows))

    def pieces(self, size: int) -> Iterator[dict[Any, Any]]:
        """First a few rows together, then the others `size` by `size`; at the end the longest and the
        shortest, each alone."""
        at = 0
        for count in (*ROWS, *[size] * (-(-len(self) // size))):
            if at < len(self):
                yield self.encoded(self.numbers[at : at + count])
            at += count

    def targets(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """{output: (true answers as metrics take them, which are known)} of all rows, in their order."""
        from mapsto.learners.base import to_numpy

        batch = self.store.batch(self.numbers)
        return {
            slot: (to_numpy(value), to_numpy(batch.present[slot])) for slot, value in batch.targets.items()
        }


def plain_cells(raw: Mapping[Any, Any]) -> dict[Any, Any]:
    """Stored cells as `encode_column` gives them."""
    return {
        spot: [cell.numpy() for cell in value] if isinstance(value, Ragged) else value.cpu().numpy()
        for spot, value in raw.items()
    }


def of_run(run: Run, learner: Any, encoded: Mapping[Any, Any], size: int) -> tuple[Any, list[bool | None]]:
    """({output: {name: (B, ...)}}, is each row unsure) by the run itself."""
    inputs = {spot: value for spot, value in encoded.items() if spot[0] == "input"}
    return _arrays(run, learner, batch_of(run, run.signature, inputs, 0, size))


def both(run: Run, learner: Any, exported: Exported, rows: Rows) -> tuple[Side, Side]:
    """What the run and its export say of the same rows."""
    parts: tuple[list[Any], list[Any]] = ([], [])
    for encoded in rows.pieces(TOGETHER):
        size = len(next(iter(encoded.values())))
        for kept, (arrays, unsure) in zip(
            parts, (of_run(run, learner, encoded, size), exported.arrays(encoded)), strict=True
        ):
            kept.append((arrays, exported.predictions(arrays, unsure)))
    return _joined(parts[0]), _joined(parts[1])


def compared(run: Run, learner: Any, exported: Exported, rows: Rows) -> dict[str, Any]:
    """{"rows", "split", "outputs": {output: figures}} of both on the same rows."""
    ours, theirs = both(run, learner, exported, rows)
    targets = rows.targets()
    outputs = {
        slot.name: {
            **_figures(run.output(slot.name), ours, theirs, slot.name),
            **_metric(run, ours, theirs, targets.get(slot.name), slot.name),
        }
        for slot in run.signature.outputs
    }
    return {"rows": len(rows), "split": rows.split, "outputs": outputs}


def _joined(parts: Sequence[tuple[Any, Any]]) -> Side:
    arrays = {
        slot: {name: np.concatenate([one[0][slot][name] for one in parts]) for name in found}
        for slot, found in parts[0][0].items()
    }
    told = {slot: [each for one in parts for each in one[1][slot]] for slot in parts[0][1]}
    return Side(arrays, told)


def _figures(output: Output, ours: Side, theirs: Side, slot: str) -> dict[str, Any]:
    """How far the arrays differ, in the unit of the answer (`Output.spread`), and how many answers are
    equal. Of answers that are searched for only equal ones are compared; "other": how many are not, and
    not as likely either."""
    unit = output.spread(ours.arrays[slot])
    same = _same(ours, theirs, slot) if output.searched else np.ones(len(ours.answers[slot]), bool)
    differ = {
        name: difference(value[same], theirs.arrays[slot][name][same]) / unit
        for name, value in ours.arrays[slot].items()
        if _is_measured(value)
    }
    near = ALIKE * unit
    pairs = list(zip(ours.answers[slot], theirs.answers[slot], strict=True))
    shares = {
        name: float(np.mean([_equal(getattr(a, name), getattr(b, name), near) for a, b in pairs]))
        for name in ("value", "set", "low", "high", "unsure")
        if any(getattr(a, name) is not None for a, _ in pairs)
    }
    found = {"difference": max(differ.values(), default=0.0), "equal": shares}
    return found if same.all() else {**found, "other": int((~same).sum()) - _ties(ours, theirs, slot, ~same)}


def _same(ours: Side, theirs: Side, slot: str) -> np.ndarray:
    """(n,) bool: rows with the same answer, token for token."""
    pairs = zip(ours.arrays[slot]["value"], theirs.arrays[slot]["value"], strict=True)
    return np.array([np.array_equal(a, b) for a, b in pairs], bool)


def _ties(ours: Side, theirs: Side, slot: str, rows: np.ndarray) -> int:
    """Of rows (n,) bool with other answers those where both are as likely."""
    pairs = (
        (a.probability, b.probability) for a, b in zip(ours.answers[slot], theirs.answers[slot], strict=True)
    )
    apart = np.array([abs((a or 0.0) - (b or 0.0)) <= ALIKE * (a or 0.0) for a, b in pairs], bool)
    return int((apart & rows).sum())


def _is_measured(values: np.ndarray) -> bool:
    """Numbers that are more or less, rather than names of something."""
    return values.dtype.kind == "f" or (
        values.dtype == object and all(row.dtype.kind == "f" for row in values)
    )


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest between any two numbers; infinite where one is none, or shapes differ."""
    if ours.dtype == object:
        return max((difference(a, b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    if ours.shape != theirs.shape or (np.isfinite(ours) != np.isfinite(theirs)).any():
        return float("inf")
    known = np.isfinite(ours)
    apart = np.abs(ours[known].astype(np.float64) - theirs[known])
    return float(apart.max(initial=0.0))


def _equal(ours: Any, theirs: Any, near: float) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return abs(ours - theirs) <= near or ours != ours
    return bool(ours == theirs)


def _metric(run: Run, ours: Side, theirs: Side, truth: Any, slot: str) -> dict[str, Any]:
    """The first metric of both with its interval, where answers are known; of answers that are searched for
    the first that needs no likelihood of the truth."""
    if truth is None:
        return {}
    target, present = truth
    output, fitted = run.output(slot), run.calibration.get(slot, {})
    sides = {
        name: output.calibrated(side.arrays[slot], fitted)
        for name, side in (("run", ours), ("export", theirs))
    }
    for metric in run.metrics_of(slot):
        made = {name: score((metric,), shown, target, present)[metric.name] for name, shown in sides.items()}
        if made["run"]["value"] is not None or not output.searched:
            kept = ("value", "low", "high", "n")
            return {
                "metric": metric.name,
                **{name: {key: one[key] for key in kept} for name, one in made.items()},
            }
    return {}


# ---- what it takes ----


def timed(run: Run, learner: Any, exported: Exported, rows: Rows) -> dict[str, Any]:
    """Milliseconds of one row (p50, p99) and rows a second of many, of the run and of its export on one
    thread; from encoded cells on."""
    import torch

    one, many = (rows.encoded(rows.numbers[:count]) for count in (1, TOGETHER))
    size = min(TOGETHER, len(rows))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours = (
            latencies(lambda: of_run(run, learner, one, 1)),
            latencies(lambda: of_run(run, learner, many, size)),
        )
    finally:
        torch.set_num_threads(before)
    single = Exported.open(exported.path, threads=1)
    theirs = latencies(lambda: single.arrays(one)), latencies(lambda: single.arrays(many))
    found = {"run": _speed(*ours, size), "export": _speed(*theirs, size)}
    if single.way.writes:
        written = [len(row) for slot in single.arrays(many)[0].values() for row in slot["value"]]
        for side in found.values():
            side["tokens_per_second"] = round(side["rows_per_second"] * float(np.mean(written)), 1)
    return found


def latencies(call: Any) -> np.ndarray:
    """Of several calls, the first of which is not counted."""
    call()
    found, began = [], time.perf_counter()
    while len(found) < CALLS and (time.perf_counter() - began < SECONDS or len(found) < 3):
        before = time.perf_counter()
        call()
        found.append(time.perf_counter() - before)
    return np.array(found)


def _speed(one: np.ndarray, many: np.ndarray, size: int) -> dict[str, float]:
    p50, p99 = np.quantile(one, (0.5, 0.99)) * 1000
    return {
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "rows_per_second": round(size / float(np.median(many)), 1),
    }


def started(exported: Exported) -> dict[str, float | None]:
    """Seconds from a new process to its first answer, and its most memory in MB (None where the system does
    not tell)."""
    words = [sys.executable, "-c", START, str(exported.path.resolve())]
    done = subprocess.run(words, capture_output=True, text=True, cwd="/", env=_environment(), check=False)
    if done.returncode:
        raise RunError(
            f"{exported.path}: cannot be opened by itself ({done.stderr.strip()[-200:]}).\nTell us: this is"
            " no fault of yours."
        )
    seconds, memory = json.loads(done.stdout)
    return {"first_answer_seconds": round(seconds, 2), "memory_mb": memory and round(memory, 1)}


def _environment() -> dict[str, str]:
    """Of a process that finds this mapsto."""
    import os

    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
