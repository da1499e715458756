"""Ids of a great many things: every one that stands in a training row is known, however many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from mapsto.types.category import Category


@dataclass(frozen=True)
class Member(Category):
    """A category of which no value is too rare to be told apart."""

    wants: ClassVar[str] = "distinct"

    def fit(self, values: Sequence[str | None], spec: Mapping[str, Any]) -> Self:
        return replace(self, min_count=1).take_all(spec["distinct"], spec)

    def take_all(self, distinct: Sequence[str | None], spec: Mapping[str, Any]) -> Self:
        return super().fit(distinct, spec)
