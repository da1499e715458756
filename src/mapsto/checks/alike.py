"""Classes and labels that differ only in case, blanks or the form of their letters: likely the same ones."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence

from mapsto.cells import shorten
from mapsto.checks.base import Evidence, Finding

MOST = 3  # groups named


def look(evidence: Evidence) -> list[Finding]:
    found = []
    for side, slots in (("output", evidence.outputs), ("input", evidence.inputs)):
        for slot in slots:
            column_type = evidence.column_type(side, slot)
            groups = _alike(column_type.classes)
            if not groups:
                continue
            told = "; ".join(map(_told, groups[:MOST]))
            more = f"; and {len(groups) - MOST} more" if len(groups) > MOST else ""
            folds = any(option.name == "fold" for option in dataclasses.fields(column_type))
            fix = f"{slot.name}:{slot.type}(fold=true)" if folds else "write them alike"
            found.append(
                Finding(
                    "alike",
                    "warn" if side == "output" else "note",
                    f"'{slot.column}' has classes that are likely the same: {told}{more}",
                    "they are told apart, and each has fewer rows",
                    fix,
                    (slot.column,),
                    len(groups),
                )
            )
    return found


def _told(group: Sequence[str]) -> str:
    """The names of a group; and that they differ in blanks, where that is not to be seen."""
    shown = list(map(shorten, group))
    return " and ".join(shown) + (" (blanks differ)" if len(set(shown)) < len(shown) else "")


def _alike(classes: Sequence[str]) -> list[list[str]]:
    """Those that are equal but for case, blanks and the form of their letters, in groups."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(plain, []).append(name)
    return [group for group in groups.values() if len(group) > 1]
