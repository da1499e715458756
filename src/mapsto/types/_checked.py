"""What the data gate (`mapsto.checks`) asks of a type's encoded cells."""

from __future__ import annotations

from typing import Any

import numpy as np


class Checked:
    """A part of the contract of `mapsto.types.base.DataType`, each question with a default."""

    def as_columns(self, arrays: Any) -> dict[str, np.ndarray]:
        """Cells as columns of a plain table, (n,) each: the whole cell under "" ("moment" for dates), or each
        label under its name. float64, nan where missing, when they have an order; else int64 codes: -1
        missing, -2 there but not told apart. {} for pictures and prose.
        """
        return {}

    def summary_stats(self, arrays: Any) -> dict[str, np.ndarray]:
        """What can be measured of a cell that is no fact, such as a picture's light: {name: (n,) float64, nan
        where missing}."""
        return {}

    def pixels(self, arrays: Any) -> np.ndarray | None:
        """(n, F) uint8: what stands at each place of a cell that has places, such as pixels; None for
        others."""
        return None

    def similarity_embedding(self, arrays: Any) -> np.ndarray | None:
        """(n, D) float32 rows of length 1 (0 where there is nothing to compare), close where a person sees
        nearly the same; None where only equal cells are alike."""
        return None

    @property
    def duplicate_thresholds(self) -> tuple[float, float]:
        """Near duplicates: least cosine of their `likeness`, and their most distance as a share of that to
        the sixth nearest."""
        return 0.985, 0.4

    @property
    def overlap_length(self) -> int:
        """Values of its encoded cells that hardly stand behind each other twice by chance, where cells are
        long; 0 for others."""
        return 0
