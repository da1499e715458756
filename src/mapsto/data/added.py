"""New rows behind those that a run has learned from (`mapsto extend`). A net that learned the new ones alone
would forget the others."""

from __future__ import annotations

from collections.abc import Sequence

from mapsto.cells import is_missing
from mapsto.data.joined import Part, join
from mapsto.errors import DataError
from mapsto.signature import Signature
from mapsto.source import Source


def added(before: Source, new: Source, signature: Signature, beside: Sequence[str | None]) -> Source:
    """Both as one source, the new rows last. beside: columns that are used but stand in no slot, such as
    groups. DataError where the new rows lack a column that is used, have one more than the others, or answer
    nothing."""
    used = [*(slot.column for slot in signature.slots), *filter(None, beside)]
    lacking = [name for name in dict.fromkeys(used) if name not in new.columns]
    more = [name for name in new.columns if name not in before.columns]
    if lacking or more:
        wrong = f"column{'s' * (len(lacking or more) > 1)} {', '.join(map(repr, (lacking or more)[:5]))}"
        raise DataError(
            f"{new.name}: expected the columns of {before.name},"
            f" {', '.join(before.columns[:8])}{', …' * (len(before.columns) > 8)};"
            f" {'it lacks' if lacking else 'it also has'} {wrong}.\n"
            + (
                "Add it."
                if lacking
                else f"Leave it out; to learn from it too, train anew: mapsto train {before.name} {new.name}"
            )
        )
    for slot in signature.outputs:
        if all(is_missing(cell) for chunk in new.chunks() for cell in chunk.columns[slot.column]):
            raise DataError(
                f"{new.name}: expected answers in column '{slot.column}', every cell is missing.\nFill it:"
                " these rows teach nothing."
            )
    return together([before, new])


def together(sources: Sequence[Source]) -> Source:
    """Sources one after another, named after the first; what comes twice is told apart by its number, as rows
    are by their places."""
    first, *later = sources
    parts = [
        Part(first, ""),
        *(Part(one, f"{one.name} (added {number})") for number, one in enumerate(later, 1)),
    ]
    return join(first.name, parts) if later else first
