"""Is a row so far from the training rows that nothing said of it can be relied on?

A row is looked at in two spaces: as the net sees it (`Net.embed`, brought to length 1) and as it came (its
plain features, `stem(None)`). In each the distance to the nearest of at most 2,000 training rows counts (Sun
et al. 2022, "Out-of-distribution detection with deep nearest neighbors"), and of the plain features also what
lies outside the space the training rows span: there a new category or a missing cell stands out. Beside
these, each type may say itself how far a cell lies outside what it was fitted on
(`DataType.range_violation`). Each of these is measured in units of its 98% quantile over half of the
validation rows; a row's figure is the largest of them, and the row is unsure above the 98% quantile of the
other half's figures. So about 2% of rows like the training rows are called unsure.

Why two spaces: a net maps what it has never seen near to what it knows. Digits (8x8, .986 right), share
called unsure of noise, drawn letters, Omniglot letters and clothes: by the net's space alone .02, .99, 1.00
and .63; by the pixels' alone 1, 1, 1 and .79. On Fashion-MNIST (.918 right) digits are found by the net's
space (.90, pixels .53), and flat grey pictures by the pixels.

What is kept is small: both spaces are turned to their first 64 principal axes, what is left over is one
number a row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from threadpoolctl import threadpool_limits
from torch import nn

from mapsto.batch import Batch, Batches, key
from mapsto.errors import RunError
from mapsto.files import write_atomic
from mapsto.measure.baseline import Plain, Values, chosen
from mapsto.models.base import Net, Types, pool
from mapsto.signature import Signature

FILE = "novelty.safetensors"
MOST_ROWS = 2_000  # training rows kept, and validation rows measured
AXES = 64
PIECE = 256  # rows whose plain features are held at once
# features; more are hashed into as many with random signs, which keeps distances in expectation (Weinberger
# et al. 2009)
WIDEST = 1024
QUANTILE = 0.98
FEWEST = 50  # training and validation rows below which nothing is said
FLOOR = 0.01  # of the typical length: differences below it are arithmetic


@dataclass(frozen=True)
class ReferenceSet:
    """Training rows in one space of D features. centre (D,), axes (D, R), points (m, R): the rows on the
    axes; left (m,): the length of what the axes leave out; unit: the typical distance from the centre."""

    centre: np.ndarray
    axes: np.ndarray
    points: np.ndarray
    left: np.ndarray
    unit: float

    @classmethod
    def of(cls, rows: np.ndarray, most: int = MOST_ROWS, axes_kept: int = AXES) -> ReferenceSet:
        """rows (m, D), of which `most` are kept, on so many axes."""
        from scipy.linalg import eigh

        centre = rows.mean(0)
        moved = (rows - centre).astype(np.float64)
        unit = float(np.sqrt((moved**2).sum(1).mean())) or 1.0
        width = moved.shape[1]
        values, vectors = eigh(
            moved.T @ moved / unit**2, subset_by_index=(max(0, width - axes_kept), width - 1)
        )  # ascending
        axes = vectors[:, values > 1e-9 * max(values[-1], 1e-30)][:, ::-1]
        cloud = cls(centre.astype(np.float32), _kept(axes), np.empty((0, 0)), np.empty(0), unit)
        points, left = cloud.place(rows[chosen(len(rows), most)])
        return cls(cloud.centre, cloud.axes, _kept(points), _kept(left), unit)

    def place(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, D) -> where they lie on the axes (n, R), and the length left out (n,); in units, at most
        1e4."""
        moved = np.nan_to_num((rows - self.centre) / self.unit, nan=1e4, posinf=1e4, neginf=-1e4).clip(
            -1e4, 1e4
        )
        on = moved @ self.axes
        return on, np.sqrt(np.maximum(0, (moved**2).sum(1) - (on**2).sum(1)))

    def distances(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) to the nearest training row, and (n,) to the space they span. Lengths left out are taken to
        stand at right angles."""
        on, left = self.place(rows)
        to_each = (
            (on**2).sum(1)[:, None]
            + left[:, None] ** 2
            + ((self.points**2).sum(1) + self.left**2)
            - 2 * on @ self.points.T
        )  # (n, m)
        return np.sqrt(np.maximum(0, to_each.min(1))) + FLOOR, left + FLOOR

    def reduced(self, most: int, axes: int) -> ReferenceSet:
        """The same with fewer rows and axes: what the others held of a row counts as left out."""
        kept = chosen(len(self.points), most)
        points, beside = self.points[kept, :axes], self.points[kept, axes:]
        left = np.sqrt(self.left[kept] ** 2 + (beside**2).sum(1))
        return replace(self, axes=self.axes[:, :axes], points=points, left=_kept(left))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        kept = {
            part: np.asarray(getattr(self, part), np.float16 if part != "centre" else np.float32)
            for part in ("axes", "points", "left", "centre")
        }
        return {f"{name}.{part}": np.ascontiguousarray(values) for part, values in kept.items()} | {
            f"{name}.unit": np.array([self.unit], np.float32)
        }

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> ReferenceSet:
        parts = {
            part: arrays[f"{name}.{part}"].astype(np.float32) for part in ("centre", "axes", "points", "left")
        }
        return cls(**parts, unit=float(arrays[f"{name}.unit"][0]))


@dataclass(frozen=True)
class OodFeatures:
    """Rows as they are looked at: net (n, D) unit embeddings, plain (n, F), range_violation (n, S) as the
    types of S inputs say."""

    net: np.ndarray
    plain: np.ndarray
    range_violation: np.ndarray


@dataclass(frozen=True)
class Novelty:
    """What is known of rows like the training rows. limits: the 98% quantile of each figure over half of the
    validation rows; threshold: that of the largest of them, each divided by its limit, over the other half;
    rows: validation rows it was learned from.
    """

    net: ReferenceSet
    plain: ReferenceSet
    limits: tuple[float, ...]
    threshold: float
    rows: int

    def figures(self, seen: OodFeatures) -> np.ndarray:
        """(n, 3 + S): distances in the net's space and in the plain one, what lies outside the plain one, and
        what the types say."""
        known = np.stack([self.net.distances(seen.net)[0], *self.plain.distances(seen.plain)], 1)
        return np.concatenate([known, seen.range_violation], 1)

    def distance(self, seen: OodFeatures) -> np.ndarray:
        """(n,) how far each row lies from the training rows; above 1 it is unsure."""
        return (self.figures(seen) / np.array(self.limits)).max(1) / self.threshold

    def record(self) -> dict[str, Any]:
        """What run.json says of it."""
        return {"quantile": QUANTILE, "rows": self.rows, "training_rows": len(self.net.points), "file": FILE}

    @property
    def bytes(self) -> int:
        return sum(one.nbytes for one in self._arrays().values())

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.net.arrays("net"), **self.plain.arrays("plain")}

    def save(self, folder: Path) -> None:
        """novelty.safetensors, below 1 MB."""
        arrays = self._arrays()
        told = {"limits": json.dumps(self.limits), "threshold": repr(self.threshold), "rows": str(self.rows)}
        write_atomic(folder / FILE, lambda path: save_file(arrays, path, told))

    @classmethod
    def load(cls, folder: Path) -> Novelty | None:
        """What `save` wrote; None where a run has none. RunError when it is damaged."""
        if not (folder / FILE).exists():
            return None
        try:
            with safe_open(folder / FILE, "np") as file:
                told = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            net, plain = (ReferenceSet.from_arrays(name, arrays) for name in ("net", "plain"))
            return cls(
                net, plain, tuple(json.loads(told["limits"])), float(told["threshold"]), int(told["rows"])
            )
        except (SafetensorError, KeyError, ValueError, OSError) as problem:
            raise RunError(
                f"{folder / FILE}: is damaged ({problem}).\nCopy the run again from where it was made."
            ) from None


class FeatureHook:
    """Sees rows as `Novelty` does, without a forward pass of its own: it listens to what the heads of the net
    are given."""

    def __init__(self, model: Net, signature: Signature, types: Types):
        self.model, self.signature, self.types = model, signature, types
        self.plain = Plain(signature, types)

    @classmethod
    def at(cls, model: nn.Module, signature: Signature, types: Types) -> FeatureHook | None:
        """None where there is nothing to look at: no input, or a net that gives no representation of them."""
        return cls(model, signature, types) if isinstance(model, Net) and signature.inputs else None

    @contextmanager
    def attached(self) -> Iterator[list[np.ndarray]]:
        """Meanwhile every forward pass leaves its pooled hidden (B, D) here, in float16."""
        heard: list[np.ndarray] = []

        def keep(heads: nn.Module, given: tuple[Any, ...]) -> None:
            found = pool(self.model.looked_at(given[0]), self.model.heads.gives).detach().float()
            heard.append((found.mean(1) if found.ndim == 3 else found).clamp(-6e4, 6e4).half().cpu().numpy())

        handle = self.model.heads.register_forward_pre_hook(keep)
        try:
            yield heard
        finally:
            handle.remove()

    @contextmanager
    def listening(self, total: int) -> Iterator[HiddenStates]:
        """Meanwhile whoever measures `total` rows batch by batch, and calls what is given here after each,
        leaves there what the net made of them."""
        with self.attached() as heard:
            yield HiddenStates(heard, total)

    @torch.no_grad()
    def score(self, batch: Batch, hidden: np.ndarray) -> OodFeatures:
        """A batch's rows beside what the net made of them, (B, D)."""
        batch = batch.to("cpu")
        found = [
            self.types["input", slot.name].range_violation(batch.inputs[slot.name])
            for slot in self.signature.inputs
        ]
        told = [one.numpy() for one in found if one is not None]
        pieces = [batch.slice(low, low + PIECE).inputs for low in range(0, batch.size, PIECE)]
        plain = [_narrow(self.plain(inputs)) for inputs in pieces]
        net = hidden.astype(np.float32) / np.maximum(
            np.linalg.norm(hidden.astype(np.float32), axis=1, keepdims=True), 1e-9
        )
        return OodFeatures(
            _narrow(net), np.concatenate(plain), np.stack(told, 1) if told else np.zeros((batch.size, 0))
        )


def _ranked(figures: np.ndarray) -> np.ndarray:
    """Along the first side: what a new row stays below with probability .98; the largest where rows are fewer
    than 49."""
    return np.sort(figures, 0)[min(len(figures), math.ceil((len(figures) + 1) * QUANTILE)) - 1]


class HiddenStates:
    """What the net makes of rows while these are measured: a listener (`mapsto.prediction.Keep`). Of millions
    of rows not all are kept, but those that `learn` takes."""

    def __init__(self, heard: list[np.ndarray], total: int):
        self._heard, self._low = heard, 0
        self._wanted = np.zeros(total, bool)
        self._wanted[chosen(total, MOST_ROWS)] = True
        self._rows: list[np.ndarray] = []
        self._states: list[np.ndarray] = []

    def __call__(self, batch: Batch) -> None:
        """A batch was predicted: the first forward pass is of its rows, the others are of test-time views.
        A net that does not take a batch row by row leaves nothing."""
        mine = self._wanted[self._low : self._low + batch.size]
        self._low += batch.size
        if batch.rows is not None and self._heard and len(self._heard[0]) == batch.size == len(mine):
            self._rows.append(batch.rows.cpu().numpy()[mine])
            self._states.append(self._heard[0][mine])
        self._heard.clear()

    def __len__(self) -> int:
        return sum(map(len, self._rows))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers (n,) in any order, and what the net makes of these rows (n, D)."""
        return np.concatenate(self._rows), np.concatenate(self._states)


def learn(
    looking: FeatureHook,
    store: Batches,
    train: HiddenStates,
    validation: HiddenStates,
    most_bytes: float = math.inf,
) -> Novelty | None:
    """From at most 2,000 training and as many validation rows, keyed samples; fewer where they would take
    more than `most_bytes`. None for fewer than 50 rows of either."""
    if min(len(train), len(validation)) < FEWEST:
        return None
    with threadpool_limits(1, user_api="blas"):  # whose threads spin against each other on a busy machine
        return _learned(looking, store, train, validation, most_bytes)


def _learned(
    looking: FeatureHook,
    store: Batches,
    train: HiddenStates,
    validation: HiddenStates,
    most_bytes: float,
) -> Novelty | None:
    sides = []
    for rows, hidden in (train.arrays(), validation.arrays()):
        at = chosen(len(rows), MOST_ROWS)
        parts = [at[low : low + PIECE] for low in range(0, len(at), PIECE)]
        sides.append(joined([looking.score(store.batch(rows[part]), hidden[part]) for part in parts]))
    return fitted(sides[0], sides[1], most_bytes)


def joined(parts: Sequence[OodFeatures]) -> OodFeatures:
    names = [one.name for one in fields(OodFeatures)]
    return OodFeatures(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def kept_within(most_bytes: float, widths: Sequence[int]) -> tuple[int, int]:
    """(training rows, axes) that are kept of spaces of so many features: as many axes as take at most half of
    the bytes, and rows for the rest; in 16 bits, but for centres in 32."""
    for axes in (AXES, 32, 16, 8, 4):
        fixed = sum(2 * width * min(axes, width) + 4 * width for width in widths)
        if fixed <= most_bytes / 2:
            break
    each = sum(2 * min(axes, width) + 2 for width in widths)
    return int(min(MOST_ROWS, max(0.0, (most_bytes - fixed) / each))), axes


def fitted(train: OodFeatures, validation: OodFeatures, most_bytes: float = math.inf) -> Novelty | None:
    """From rows as they are seen. None where fewer than 50 of them would fit."""
    most, axes = kept_within(most_bytes, (train.net.shape[1], train.plain.shape[1]))
    if most < FEWEST:
        return None
    first = Novelty(
        ReferenceSet.of(train.net, most, axes),
        ReferenceSet.of(train.plain, most, axes),
        (),
        1.0,
        len(validation.range_violation),
    )
    return _limited(first, validation)


def _limited(found: Novelty, validation: OodFeatures) -> Novelty:
    """With limits and threshold from validation rows."""
    figures = found.figures(validation)
    floors = np.r_[np.full(3, FLOOR), np.ones(figures.shape[1] - 3)]
    limits = np.maximum(_ranked(figures[::2]), floors)
    # of other rows: the largest of several figures exceeds one more often than each alone
    threshold = _ranked((figures[1::2] / limits).max(1))
    return replace(found, limits=tuple(limits.tolist()), threshold=float(threshold))


def reduced(found: Novelty, validation: OodFeatures, most_bytes: float) -> Novelty | None:
    """The same in fewer bytes, its limits learned anew from validation rows. None where too few would fit."""
    most, axes = kept_within(most_bytes, (len(found.net.centre), len(found.plain.centre)))
    if most < FEWEST or len(validation.net) < FEWEST:
        return None
    net, plain = (one.reduced(most, axes) for one in (found.net, found.plain))
    return _limited(replace(found, net=net, plain=plain, rows=len(validation.net)), validation)


def _kept(values: np.ndarray) -> np.ndarray:
    """As the file keeps them: 16 bits."""
    return values.astype(np.float16).astype(np.float32)


def _narrow(values: Values) -> np.ndarray:
    """(n, F), dense or sparse -> (n, at most WIDEST): wider rows hashed."""
    from scipy.sparse import csr_array, issparse

    width = values.shape[1]
    if width <= WIDEST:
        return values.toarray() if issparse(values) else values
    bucket, sign = _hashing(width)
    shape = (values.shape[0], int(bucket.max()) + 1)
    if issparse(values):
        return csr_array(
            (values.data * sign[values.indices], bucket[values.indices], values.indptr), shape
        ).toarray()
    return np.ascontiguousarray(
        (csr_array((sign, (bucket, np.arange(width))), (shape[1], width)) @ values.T).T
    )


@cache
def _hashing(width: int) -> tuple[np.ndarray, np.ndarray]:
    """(width,) the column that each feature falls into, and its sign; the same on every machine."""
    draw = np.random.default_rng(key("novelty hashing", width))
    bucket, sign = draw.integers(WIDEST, size=width), draw.choice(np.array([-1, 1], np.float32), width)
    return np.unique(bucket, return_inverse=True)[1], sign
