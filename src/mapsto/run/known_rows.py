"""Which rows that a run is measured on it has learned from: on these its figures say nothing of new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mapsto.data.scan import row_hashes
from mapsto.signature import Signature
from mapsto.source import Source

LEARNED = "learned_hash"  # in rows.npz: hashes of the inputs of training and validation rows, ascending


def learned_rows(run: Any, source: Source, signature: Signature) -> np.ndarray | None:
    """(n,) bool of a source's readable rows: do rows with the same inputs stand among those that the run
    learned from, or chose its weights by? None where it does not know: of a run without inputs, of an earlier
    mapsto, or that learned from no table of rows. signature: with the source's own columns."""
    if not signature.inputs or not (run.path / "rows.npz").exists():
        return None
    kept = run.kept_rows()
    if LEARNED not in kept:
        return None
    columns = [slot.column for slot in signature.inputs]
    found = [np.array(row_hashes(chunk, columns), np.uint64) for chunk in source.chunks()]
    return np.isin(np.concatenate(found), kept[LEARNED]) if found else np.zeros(0, bool)


def in_words(learned: np.ndarray, new: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """What to think of figures on such rows. learned: (n,) bool, of some true; new: figures on the others, as
    `evaluate` gives them, of which the first of each output is told."""
    from mapsto.terminal.words import number

    count, total = int(learned.sum()), len(learned)
    if count == total:
        which = "the only row is one" if total == 1 else f"all {total:,} rows are among those"
        return f"{which} that this run learned from: such figures say nothing of new rows"
    told = []
    for slot, metrics in new.items():
        name, found = next(iter(metrics.items()), ("", {}))
        told += [f"{slot} {name} {number(found['value'])}"] if name else []
    verb = "is" if count == 1 else "are"
    return (
        f"{count:,} of {total:,} rows {verb} among those that this run learned from, which flatters it; on"
        f" the other {total - count:,}: {', '.join(told) or 'nothing is known'}"
    )
