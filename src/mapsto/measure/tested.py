"""What was predicted for each test row, kept in a run as test-0.npz, test-1.npz, …, one file an output: so that folds can be measured
together, and runs compared row by row.

A row is known by its number in the source, and by the hash of its inputs (`data.scan`), which is the same in another file, in another
order and on another machine."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mapsto.errors import RunError
from mapsto.files import write_atomic
from mapsto.metrics import Arrays

MOST_ROWS, MOST_NUMBERS = 20_000, 2_000_000  # kept in a run: at most 8 MB an output
LEFT_OUT = ("set", "spread")  # of what heads and calibration give: no metric reads these
MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Tested:
    """rows (n,) int64; hashes (n,) uint64, or none (0,) in runs of an older mapsto; predicted: arrays (n, ...), calibrated; target and
    present as the room collates them; groups (n,), or none (0,) where rows stand alone."""

    rows: np.ndarray
    hashes: np.ndarray
    target: np.ndarray
    present: np.ndarray
    groups: np.ndarray
    predicted: Arrays

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, at: np.ndarray) -> Tested:
        """Some of the rows, by position."""
        plain = {spot.name: getattr(self, spot.name) for spot in fields(self) if spot.name != "predicted"}
        chosen = {name: values[at] if len(values) else values for name, values in plain.items()}
        return Tested(**chosen, predicted={name: values[at] for name, values in self.predicted.items()})

    def thinned(self) -> Tested:
        """At most so many rows as a run keeps: those with the smallest mixed hashes, so that other runs keep the same ones."""
        numbers = sum(int(np.prod(values.shape[1:])) for values in [self.target, self.present, *self.predicted.values()])
        most = min(MOST_ROWS, max(1, MOST_NUMBERS // max(1, numbers)))
        if len(self) <= most:
            return self
        mixed = (self.hashes if len(self.hashes) else self.rows.astype(np.uint64)) * MIX
        return self.take(np.sort(np.argsort(mixed, kind="stable")[:most]))

    def save(self, folder: Path, number: int) -> None:
        """test-NUMBER.npz; nothing where predictions are of unequal size."""
        shown = {f"predicted.{name}": values for name, values in self.predicted.items() if name not in LEFT_OUT}
        arrays = {**{spot.name: getattr(self, spot.name) for spot in fields(self) if spot.name != "predicted"}, **shown}
        if any(values.dtype == object for values in arrays.values()):
            return

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

        write_atomic(file_of(folder, number), write)

    @classmethod
    def load(cls, folder: Path, number: int) -> Tested | None:
        """What `save` wrote; None where there is nothing. RunError when it is damaged."""
        path = file_of(folder, number)
        if not path.exists():
            return None
        try:
            with np.load(path) as kept:
                arrays = {name: kept[name] for name in kept.files}
            predicted = {name.removeprefix("predicted."): values for name, values in arrays.items() if name.startswith("predicted.")}
            return cls(**{spot.name: arrays[spot.name] for spot in fields(cls) if spot.name != "predicted"}, predicted=predicted)
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as problem:
            raise RunError(f"{path}: is damaged or of an older mapsto ({problem}).\nCopy the run again from where it was made.") from None


def file_of(folder: Path, number: int) -> Path:
    return folder / f"test-{number}.npz"


def joined(parts: Sequence[Tested]) -> Tested:
    """The test rows of several folds together, in the order of rows."""
    names = [spot.name for spot in fields(Tested) if spot.name != "predicted"]
    whole = Tested(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        predicted={name: np.concatenate([part.predicted[name] for part in parts]) for name in parts[0].predicted},
    )
    return whole.take(np.argsort(whole.rows, kind="stable"))


def common(several: Sequence[Tested], same_data: bool) -> list[Tested]:
    """The rows that all have, in one order: by number where all come from the same data, else by the hash of their inputs; of equal
    rows the first goes with the first. Empty where there is none."""
    keyed = [one.rows.astype(np.uint64) if same_data else one.hashes for one in several]
    if any(len(keys) < len(one) for keys, one in zip(keyed, several, strict=True)):
        return [one.take(np.empty(0, np.int64)) for one in several]
    named = [_numbered(keys) for keys in keyed]
    shared = set(named[0]).intersection(*named[1:])
    order = sorted(shared, key=lambda name: named[0][name])
    return [one.take(np.array([places[name] for name in order], np.int64)) for one, places in zip(several, named, strict=True)]


def _numbered(keys: np.ndarray) -> Mapping[tuple[int, int], int]:
    """{(key, how often it came before): position}."""
    seen: dict[int, int] = {}
    found = {}
    for place, key in enumerate(keys.tolist()):
        found[key, seen.get(key, 0)] = place
        seen[key] = seen.get(key, 0) + 1
    return found
