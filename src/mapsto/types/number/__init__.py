"""Numbers, and dates and times as numbers that know calendar and trend.

In the store a cell is one float64 (dates: seconds since 1970, in UTC where a zone is told), NaN when missing.
In a batch an input is float32 features with a missing flag; a target stays in its own unit, NaN when missing.
The encodings that make nets good on tables are those of Gorishniy et al. 2022, "On Embeddings for Numerical
Features". Letters: B batch, N features, L their encoding's length, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Column, Pointed, shorten
from mapsto.config import setting
from mapsto.errors import CellError, ConfigError, DataError
from mapsto.lazy import torch
from mapsto.types.base import MISSING_CELLS, SHARES, DataType, Layout, learned, quarters
from mapsto.types.number._around import (
    DECIDED,
    SURE,
    USUAL,
    around,
    bare,
    doubt_of,
    is_gap,
    numbers_among,
    said_around,
    said_dates,
)
from mapsto.types.number._calendar import calendar
from mapsto.types.number._spread import knots, said_far, spread_of, spread_words
from mapsto.types.number._written import are_codes, decimal_of, floats_of, perhaps_vast, said_decimal
from mapsto.types.number._zones import said_zones, zone_name
from mapsto.types.number.numerals import (
    DAY,
    Moment,
    brief,
    infinite,
    iso,
    number_of,
    seconds_of,
    underscored,
    values_of,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mapsto.batch import Draw, Field

# the largest number of 32 bits, nearly: this, and that of 64 bits, is what programs write for "not known"
VAST = 3.39e38
NOISE = "noise in numbers (standard deviations)"


@dataclass(frozen=True)
class Number(DataType):
    """A number or a date. Read value: float, or `Moment`."""

    outputs: ClassVar[tuple[str, ...]] = ("regression",)
    synonyms: ClassVar[tuple[str, ...]] = ("date", "datetime", "time", "float", "integer", "int")
    unmistakable: ClassVar[bool] = True
    reading: ClassVar[tuple[str, ...]] = (
        *("kind", "decimal", "mark", "day_first", "dates_day_first"),
        *("missing", "unit", "words"),
    )

    loss: str = setting("mse", "what a prediction's error costs", choices=("mse", "huber"))
    log: bool = setting(
        False, "learn on the scale sign(x) · log(1 + |x|): for amounts spread over orders of magnitude"
    )
    bins: int | None = setting(
        None, "most pieces of the spline and piecewise encodings (√rows / 2, 4 to 64)", above=0
    )
    encoding: str = setting(
        "spline", "how an input number is embedded", choices=("spline", "piecewise", "periodic", "plain")
    )
    decimal: str | None = setting(
        None, "decimal mark in text; default: the one that the whole column fits", choices=(".", ",")
    )
    day_first: bool | None = setting(
        None, "01/02/2011 is the first of February; default: what other dates of the column show, else not"
    )
    missing: tuple[float, ...] | None = setting(None, "a value that means 'not known', such as -9999")
    side: str = learned("input")
    kind: str = learned("number")
    mark: str = learned(".")  # the decimal mark found
    # how texts are read that could be read otherwise, too: with "," or "."; of dates see `doubt_of`
    doubtful: str = learned("")
    unit: str = learned("")  # behind all numbers: kg
    words: tuple[str, ...] = learned(())  # among its numbers that stand for nothing
    beyond: bool = learned(False)  # are there cells of VAST values, which count as missing?
    zones: tuple[str, ...] = learned(())  # in which its times are told: +02:00
    dates_day_first: bool = learned(False)
    mean: float = learned(0.0)  # of training values, on the log scale where `log`
    std: float = learned(0.0)  # 0: not fitted
    cap: float = learned(
        0.0
    )  # standard deviations beyond which a target counts no further; 0: none is so far
    edges: tuple[float, ...] = learned(())  # of the pieces, in standard deviations from the mean
    clock: bool = learned(False)  # does the time of day vary?
    rows: int = learned(0)  # training rows: how fast knots may learn
    distinct: int = learned(2)  # different training values: none, one, or more, which count as 2

    @classmethod
    def sniff(cls, column: Column) -> float:
        """.9 for real numbers and dates, .5 for few distinct whole numbers, less when some cells are
        neither."""
        cells = column.known
        if not cells:
            return 0.2
        values = numbers_among(cells)
        share = sum(value is not None for value in values) / max(1, len(values))
        if share < SURE or all(isinstance(cell, (bool, np.bool_)) for cell in cells) or are_codes(column):
            return 0.3 * share
        distinct = {value for value in values if value is not None}
        whole = len(distinct) <= 20 and not any(isinstance(value, Moment) or value % 1 for value in distinct)
        return 0.5 if whole else 0.9

    def as_written(self, column: Column, side: str) -> Self:
        """The decimal mark, where none is named; the unit; and what stands for values that are none."""
        if self.std:
            return self
        unit, words = around(column.known, DECIDED)
        known = [bare(cell, unit) for cell in column.known] if unit else column.known
        mark, doubtful = (self.mark, "") if self.decimal else decimal_of(known)
        vast = [value for value in values_of(perhaps_vast(known)) if value is not None]
        beyond = any(abs(value) >= VAST for value in vast)
        return replace(self, mark=mark, doubtful=doubtful, beyond=beyond, unit=unit, words=words)

    def read(self, cell: Any) -> float | None:
        """3, '1,234.5', '$ 12', '12 %', (1,234), True; dates as ISO, 01/02/2011, '2 Jan 2011', objects.
        Percent keeps its number: 12."""
        if self.decimal and type(cell) is Pointed:
            cell = cell.written
        if is_gap(cell, self.words, usual=self.std > 0):
            return None
        if self.unit:
            cell = bare(cell, self.unit)
        value = number_of(cell, self._decimal, self._day_first)
        if value is None or self._is_unknown(value):
            return None
        if not self.std:
            return value
        if isinstance(value, Moment) != (self.kind == "date"):
            wanted, got = ("date", "number") if self.kind == "date" else ("number", "date")
            raise CellError(
                f"expected a {wanted}, got the {got} {shorten(cell)}.\nWrite the whole column as {wanted}s."
            )
        return value

    def _is_unknown(self, value: float) -> bool:
        return abs(value) >= VAST or value in (self.missing or ())

    @property
    def _decimal(self) -> str:
        return self.decimal or self.mark

    @property
    def _day_first(self) -> bool:
        return self.dates_day_first if self.day_first is None else self.day_first

    def fit(self, values: Sequence[float | None], spec: Mapping[str, Any]) -> Self:
        """Kind, mean, std and quantile bins. A room fitted before stays as it is: nets know its
        statistics."""
        if self.std:
            return self
        known = [value for value in values if value is not None]
        side, dated = spec.get("side", "input"), sum(isinstance(value, Moment) for value in known)
        if side == "output" and not known:
            raise DataError(
                f"'{spec.get('name', 'target')}': no training row has a value to learn from.\nName another"
                " column right of the arrow."
            )
        if 2 * dated <= len(known):
            column_type = replace(self, side=side, kind="number")
            array = np.array([value for value in known if not isinstance(value, Moment)], np.float64)
        else:
            moments = [value for value in known if isinstance(value, Moment)]
            votes = [value.day_first for value in moments if value.day_first is not None]
            early = self.day_first if self.day_first is not None else 2 * sum(votes) > len(votes)
            column_type = replace(
                self, side=side, kind="date", dates_day_first=early, log=False, doubtful=doubt_of(moments)
            )
            array = np.array(
                [value.swapped if early and value.swapped is not None else value for value in moments],
                np.float64,
            )
            offsets = {value.zone for value in moments if value.zone is not None}
            zones = tuple(map(zone_name, sorted(offsets)))
            if zones and any(value.zone is None for value in moments):
                zones = (*zones, "none")
            column_type = replace(column_type, clock=bool(np.ptp(array % DAY) > 0), zones=zones)
        return replace(column_type, rows=int(spec.get("rows", len(values))))._with_statistics(array)

    def _with_statistics(self, array: np.ndarray) -> Self:
        if not len(array):
            return replace(self, mean=0.0, std=1.0, edges=(-1.0, 1.0), distinct=0)
        scaled = self._scaled(array)
        mean, std, cap = spread_of(scaled)
        standard = (scaled - mean) / std if std > 0 else np.zeros(1)
        differ, std = 1 + (std > 0), std or 1.0
        distinct = knots(standard, self.bins or int(min(64, max(4, self.rows**0.5 / 2))))
        edges = distinct if len(distinct) > 1 else np.array([distinct[0] - 1, distinct[0] + 1])
        return replace(self, mean=mean, std=std, edges=tuple(edges.tolist()), cap=cap, distinct=differ)

    def _scaled(self, array: np.ndarray) -> np.ndarray:
        return np.sign(array) * np.log1p(np.abs(array)) if self.log else array

    @property
    def layout(self) -> Layout:
        return Layout("float64")

    def encode(self, value: float | None) -> np.ndarray:
        return np.array(math.nan if value is None else float(value), np.float64)

    def encode_column(self, cells: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        """In one stroke where Python's own float() reads everything; otherwise each distinct cell once."""
        found = self._quickly(cells)
        problems: dict[int, str] = {}
        if found is None:
            found = np.empty(len(cells), np.float64)
            known: dict[str, float] = {}
            for position, cell in enumerate(cells):
                text = type(cell) is str
                value = known.get(cell) if text else None
                if value is None:
                    try:
                        value = float(self.encode(self.read(cell)))
                    except CellError as problem:
                        problems[position], value = str(problem), math.nan
                    else:
                        if text:
                            known[cell] = value
                found[position] = value
        for position in np.flatnonzero(np.isinf(found)).tolist():
            problems[position], found[position] = infinite(cells[position]), math.nan
        found[np.abs(found) >= VAST] = math.nan
        if self.missing:
            found[np.isin(found, self.missing)] = math.nan
        return found, problems

    def _quickly(self, cells: Sequence[Any]) -> np.ndarray | None:
        """The column as float64, or None when a cell needs reading with care."""
        if isinstance(cells, np.ndarray) and cells.dtype.kind == "M" and self.kind == "date":
            return seconds_of(cells.reshape(len(cells)))
        if self.kind == "date" or (isinstance(cells, np.ndarray) and cells.dtype.kind not in "fiubOUT"):
            return None
        if underscored(cells) or (self._decimal == "," and any(isinstance(cell, str) for cell in cells)):
            return None
        if self.decimal and any(type(cell) is Pointed for cell in cells):
            return None
        return floats_of(cells)

    def graph_inputs(self, arrays: Any) -> dict[str, np.ndarray]:
        """Of dates also where in year, week and day they lie, which no net's operations can tell."""
        cells = super().graph_inputs(arrays)
        return cells | {"waves": self._waves(cells["cells"])} if self.kind == "date" else cells

    def from_graph(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return self._features(tensors["cells"], tensors.get("waves"))

    def _waves(self, seconds: np.ndarray) -> np.ndarray:
        return calendar(np.where(np.isnan(seconds), self.mean, seconds), self.clock)

    def collate(self, arrays: Tensor, draw: Draw | None, geometry: Tensor | None = None) -> Tensor:
        """As target (B,) in its own unit, float64 where float32 would blur it. As input (B, 2): standardised
        value, missing flag; a date (B, 2 + 23): also its place in the year (4 waves, 12 months) and the week
        (7 days), and (+4) in the day if that varies.
        """
        if self.side == "output":
            return arrays if self.needs_float64 else arrays.float()
        dated = self.kind == "date"
        waves = torch.from_numpy(self._waves(arrays.cpu().numpy())).to(arrays.device) if dated else None
        return self._features(arrays, waves)

    def _features(self, arrays: Tensor, waves: Tensor | None) -> Tensor:
        from mapsto.types.number._features import features

        return features(arrays, waves, self.mean, self.std, self.log)

    @classmethod
    def collates(
        cls, column_types: Mapping[str, Self], arrays: Mapping[str, Tensor], draw: Draw | None
    ) -> dict[str, Field]:
        together = {
            name: column_type.side == "input" and column_type.kind == "number" and not column_type.log
            for name, column_type in column_types.items()
        }
        plain = [name for name, yes in together.items() if yes]
        found: dict[str, Field] = super().collates(
            {name: column_type for name, column_type in column_types.items() if not together[name]},
            arrays,
            draw,
        )
        if plain:
            from mapsto.types.number._features import together as features_of

            raw = torch.stack([arrays[name] for name in plain], 1)  # (B, N)
            of = [column_types[name] for name in plain]
            both = features_of(raw, [one.mean for one in of], [one.std for one in of])  # (B, N, 2)
            found |= {name: both[:, n] for n, name in enumerate(plain)}
        return found

    @property
    def needs_float64(self) -> bool:
        """Would float32, which keeps 7 digits, blur its values?"""
        return not self.log and (abs(self.mean) > 1e3 * self.std or self.std < 1e-30)

    def present(self, arrays: Tensor) -> Tensor:
        return ~torch.isnan(arrays)

    def as_columns(self, arrays: Tensor) -> dict[str, np.ndarray]:
        return {"moment" if self.kind == "date" else "": arrays.numpy().astype(np.float64)}

    def range_violation(self, values: Tensor) -> Tensor:
        """In widths of the range of the training values, beyond its ends."""
        low, high = self.edges[0], self.edges[-1]
        return torch.maximum(low - values[:, 0], values[:, 0] - high).clamp(min=0) / (high - low)

    def merged_with(self, other: Self) -> Self:
        if other.kind != self.kind:
            raise ConfigError(
                f"a {self.kind} cannot be compared with a {other.kind}.\nCompare runs that answer alike."
            )
        return self

    def said(self, name: str) -> str:
        if self.kind == "date":
            return said_dates(name, self.doubtful, self._day_first) + said_zones(self.zones)
        told = [*said_around(name, self.unit, self.words), said_decimal(name, self.doubtful)]
        vast = self.why_missing(name) if self.beyond else ""
        return "; ".join(filter(None, [*told, vast, said_far(name, self.mean, self.cap * self.std)]))

    def why_missing(self, name: str) -> str:
        if not self.beyond:
            return super().why_missing(name)
        return f"'{name}': values beyond {VAST:g} are read as missing: a float's largest, no quantity"

    def web_field(self, names: bool = True) -> dict[str, Any]:
        from mapsto.types.number._web import field_of

        return field_of(self)

    def web_options(self) -> dict[str, Any]:
        return {"gaps": sorted(USUAL)}

    def show(self, value: float | None) -> str:
        date = isinstance(value, Moment) or self.kind == "date"
        return "—" if value is None else iso(value) if date else f"{value:g}"

    def about(self, names: bool = True) -> str:
        return spread_words(self.distinct, self.mean, self.std, self.log, self.kind == "date")

    def ticks(self, places: np.ndarray) -> tuple[tuple[float, str], ...] | None:
        from mapsto.types.number._ticks import date_ticks

        return date_ticks(places) if self.kind == "date" else None

    def shown(self, value: float) -> Any:
        """A predicted value in the data's own terms: a date as it is written."""
        return iso(value) if self.kind == "date" else value

    def decode_cell(self, array: np.ndarray) -> float | None:
        return None if np.isnan(array) else float(array)

    def slices(self, values: Sequence[float | None]) -> dict[str, np.ndarray]:
        dated = any(isinstance(value, Moment) for value in values)
        return quarters(values, (lambda value: iso(value)[:10]) if dated else brief)

    @property
    def corruptions(self) -> Mapping[str, tuple[float, ...]]:
        return {MISSING_CELLS: SHARES, NOISE: (0.1, 0.3, 1.0)}

    def corrupt(
        self, name: str, level: float, value: float | None, draw: np.random.Generator
    ) -> float | None:
        if value is None or name == MISSING_CELLS:
            return None if value is None or draw.random() < level else value
        if not self.log:
            return float(value) + level * self.std * draw.normal()
        scaled = math.copysign(math.log1p(abs(value)), value) + level * self.std * draw.normal()
        return math.copysign(math.expm1(abs(scaled)), scaled)

    def stem(self, width: int | None) -> nn.Module:
        from mapsto.types.number.encodings import OneNumber, PlainNumber

        return PlainNumber(self) if width is None else OneNumber(self, width)

    @classmethod
    def stems(cls, column_types: Mapping[str, Self], width: int | None) -> nn.Module:
        from mapsto.types.number.encodings import Numbers

        return super().stems(column_types, width) if width is None else Numbers(column_types, width)
