"""A column of the data that says which rows train, validate and test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from mapsto.data.media import media
from mapsto.source import Chunk, Source, split_name

SPLIT_COLUMNS = frozenset(
    {
        "split",
        "splits",
        "subset",
        "partition",
        "set",
        "fold",
        "usage",
        "phase",
        "dataset",
        "part",
        "data_split",
        "split_name",
        "dataset_split",
        "train_test",
        "train_or_test",
    }
)


@dataclass
class SplitByColumn(Source):
    """A source one of whose columns names the split of each row; that column is not data. used: whether it
    divides anything."""

    inner: Source | None = None
    column: str = ""
    used: bool = True

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        assert self.inner is not None
        for chunk in self.inner.chunks(size):
            splits = [split_name(cell) for cell in chunk.columns[self.column]] if self.used else chunk.split
            yield Chunk({name: chunk.columns[name] for name in self.columns}, chunk.where, splits, chunk.bad)


def with_split_column(source: Source, left_out: str | None = None) -> Source:
    """Recognise a column named like a split whose every value names one; else the source as it came.
    left_out: columns, separated by commas, of which none is one."""
    out = {left_out, *(name.strip() for name in (left_out or "").split(","))}
    likely = [
        name
        for name in source.columns
        if name not in out and name.strip().lower().replace(" ", "_").replace("-", "_") in SPLIT_COLUMNS
    ]
    if not likely or len(source.columns) < 2:
        return source
    values: dict[str, set[str | None]] = {name: set() for name in likely}
    for chunk in source.chunks():
        for name in list(values):
            values[name] |= {split_name(cell) for cell in set(map(str, chunk.columns[name]))}
            if None in values[name]:
                del values[name]
        if not values:
            source.said.append(
                f"column '{likely[0]}' is data: not every value names a split (train, validation, test)"
            )
            return source
    name = next(iter(values))
    used = len(values[name]) > 1 and not source.divided
    why = (
        f"column '{name}' divides the rows: {', '.join(sorted(map(str, values[name])))}"
        if used
        else f"column '{name}' is not used: "
        + (
            "files or folders divide the rows already"
            if source.divided
            else f"every row says {next(iter(values[name]))}"
        )
    )
    guess = source.guess
    columns = tuple(other for other in source.columns if other != name)
    if guess is None and len(columns) == 2 and columns[0] in media():
        guess = f"{columns[0]} -> {columns[1]}"
    shown = {each.name: getattr(source, each.name) for each in fields(Source)}
    shown |= {"columns": columns, "guess": guess, "said": [*source.said, why]}
    shown |= {"divided": used or source.divided}
    return SplitByColumn(**shown, inner=source, column=name, used=used)
