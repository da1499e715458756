"""What was predicted for each test row, kept in a run as test-0.npz, test-1.npz, …, one file an output: so
that folds can be measured together, and runs compared row by row.

A row is known by its number in the source, and by the hash of its inputs (`data.scan`), which is the same in
another file, in another order and on another machine. Answers of unequal length, such as texts, would fill
it, and mean nothing without the vocabulary they are written in: of these is kept what each metric knows of
each row, and a hash of the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.files import read_arrays, write_atomic
from mapsto.metrics import Arrays, Metric
from mapsto.outputs.base import Head, in_words
from mapsto.prediction import any_known

MOST_ROWS, MOST_NUMBERS = 20_000, 2_000_000  # kept in a run: at most 8 MB an output
LEFT_OUT = ("set", "spread")  # of what heads and calibration give: no metric reads these
MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class TestPredictions:
    """rows (n,) int64; hashes (n,) uint64, or none (0,) in runs of an older mapsto; predicted: arrays (n,
    ...), calibrated; target and present as the room collates them; groups (n,), or none (0,) where rows stand
    alone. statistics: of answers of unequal length, in place of predictions, {metric: (n, k)}, nan where the
    truth is not known; target is then (n,) uint64 hashes."""

    rows: np.ndarray
    hashes: np.ndarray
    target: np.ndarray
    present: np.ndarray
    groups: np.ndarray
    predicted: Arrays
    statistics: Arrays = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, at: np.ndarray) -> TestPredictions:
        """Some of the rows, by position."""
        chosen: dict[str, Any] = {
            by: {name: values[at] for name, values in getattr(self, by).items()} for by in NAMED
        }
        for name in PLAIN:
            values = getattr(self, name)
            chosen[name] = values[at] if len(values) else values
        return TestPredictions(**chosen)

    def to_statistics(self, metrics: Sequence[Metric], head: Head | None) -> TestPredictions:
        """With statistics in place of predictions, where those are of unequal length; else as it is."""
        if all(values.dtype != object for values in [self.target, *self.predicted.values()]):
            return self
        known = any_known(self.present)
        shown, target = {name: values[known] for name, values in self.predicted.items()}, self.target[known]
        statistics = {}
        for metric in metrics if known.any() else ():
            found = np.asarray(metric.rows(shown, target), np.float32)
            statistics[metric.name] = np.full((len(self), found.shape[1]), np.nan, np.float32)
            statistics[metric.name][known] = found
        return replace(self, target=self._truths(head), predicted={}, statistics=statistics)

    def _truths(self, head: Head | None) -> np.ndarray:
        """(n,) hashes of the true answers: in words where a head predicts what looks like the truth, else as
        the room stores them."""
        if head is not None and "value" in self.predicted:
            told = [
                in_words(found.value).encode("utf-8", "surrogatepass")
                for found in head.decode({"value": self.target})
            ]
        else:
            told = [np.asarray(row, np.int64).tobytes() for row in self.target]
        return np.array(
            [int.from_bytes(blake2b(one, digest_size=8).digest(), "little") for one in told], np.uint64
        )

    def thinned(self) -> TestPredictions:
        """At most so many rows as a run keeps: those with the smallest mixed hashes, so that other runs keep
        the same ones."""
        arrays = [self.target, self.present, *self.predicted.values(), *self.statistics.values()]
        numbers = sum(int(np.prod(values.shape[1:])) for values in arrays)
        most = min(MOST_ROWS, max(1, MOST_NUMBERS // max(1, numbers)))
        if len(self) <= most:
            return self
        mixed = (self.hashes if len(self.hashes) else self.rows.astype(np.uint64)) * MIX
        return self.take(np.sort(np.argsort(mixed, kind="stable")[:most]))

    def save(self, folder: Path, number: int) -> None:
        """test-NUMBER.npz, of rows that are `measured`."""
        shown = {
            f"{by}.{name}": values
            for by in NAMED
            for name, values in getattr(self, by).items()
            if name not in LEFT_OUT
        }
        arrays = {**{name: getattr(self, name) for name in PLAIN}, **shown}
        assert all(values.dtype != object for values in arrays.values()), "nothing is pickled"

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

        write_atomic(file_of(folder, number), write)

    @classmethod
    def load(cls, folder: Path, number: int) -> TestPredictions | None:
        """What `save` wrote; None where there is nothing. RunError when it is damaged."""
        path = file_of(folder, number)
        if not path.exists():
            return None
        arrays = read_arrays(path, PLAIN)
        found: dict[str, Any] = {name: arrays[name] for name in PLAIN}
        for by in NAMED:
            found[by] = {
                name.removeprefix(f"{by}."): values
                for name, values in arrays.items()
                if name.startswith(f"{by}.")
            }
        return cls(**found)


NAMED = ("predicted", "statistics")
PLAIN = tuple(spot.name for spot in fields(TestPredictions) if spot.name not in NAMED)


def file_of(folder: Path, number: int) -> Path:
    return folder / f"test-{number}.npz"


def joined(parts: Sequence[TestPredictions]) -> TestPredictions:
    """The test rows of several folds together, in the order of rows."""
    whole: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in PLAIN}
    for by in NAMED:
        found = [getattr(part, by) for part in parts]
        shared = [name for name in found[0] if all(name in one for one in found)]
        whole[by] = {name: np.concatenate([one[name] for one in found]) for name in shared}
    return TestPredictions(**whole).take(np.argsort(whole["rows"], kind="stable"))


def common(several: Sequence[TestPredictions], same_data: bool) -> list[TestPredictions]:
    """The rows that all have, in one order: by number where all come from the same data, else by the hash of
    their inputs; of equal rows the first goes with the first. Empty where there is none."""
    keyed = [one.rows.astype(np.uint64) if same_data else one.hashes for one in several]
    if any(len(keys) < len(one) for keys, one in zip(keyed, several, strict=True)):
        return [one.take(np.empty(0, np.int64)) for one in several]
    named = [_numbered(keys) for keys in keyed]
    shared = set(named[0]).intersection(*named[1:])
    order = sorted(shared, key=lambda name: named[0][name])
    return [
        one.take(np.array([places[name] for name in order], np.int64))
        for one, places in zip(several, named, strict=True)
    ]


def _numbered(keys: np.ndarray) -> Mapping[tuple[int, int], int]:
    """{(key, how often it came before): position}."""
    seen: dict[int, int] = {}
    found = {}
    for place, key in enumerate(keys.tolist()):
        found[key, seen.get(key, 0)] = place
        seen[key] = seen.get(key, 0) + 1
    return found
