"""How tags mark names: BIO, in which each begins with B-, and other ways, which are turned into it. No torch
here.

IOB1 (Ramshaw & Marcus 1995, as in CoNLL-2003): names begin with I-, and with B- only right behind a name of
the same type. BIOES, BILOU, BMES and BMEWO mark also where a name ends, and names of a single word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OUTSIDE = "O"
ENDS = {"BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"}  # marks before the types of names
_BIO = {"B": "B", "S": "B", "U": "B", "W": "B", "I": "I", "M": "I", "E": "I", "L": "I"}


def scheme_of(rows: Iterable[Sequence[str]]) -> str:
    """The way in which rows of tags mark names, where it is another than BIO: "IOB1" or one of ENDS; "" where
    it is BIO, or they name nothing."""
    listed = list(rows)
    tags = {tag for row in listed for tag in row}
    if are_names(tags):
        seen = Scheme()
        for row in listed:
            seen.see(row)
        return "IOB1" if seen.is_begun else ""
    marks = {tag[0] for tag in tags if tag[1:2] == "-" and len(tag) > 2}
    if not all(tag == OUTSIDE or (tag[1:2] == "-" and len(tag) > 2) for tag in tags):
        return ""
    if OUTSIDE not in tags and "B" not in marks:
        return ""
    return next((name for name, known in ENDS.items() if marks <= set(known)), "")


def as_bio(tags: Sequence[str], scheme: str) -> tuple[str, ...]:
    """Tags of a scheme as BIO."""
    if scheme == "IOB1":
        return tuple(begun(tags))
    return tuple(f"{_BIO.get(tag[0], tag[0])}{tag[1:]}" if tag[1:2] == "-" else tag for tag in tags)


def are_names(tags: Iterable[str]) -> bool:
    """Do they mark what begins and goes on, and what is outside?"""
    return all(tag == OUTSIDE or (tag[:2] in ("B-", "I-") and len(tag) > 2) for tag in tags)


@dataclass
class Scheme:
    """How a column marks names. lost: I- at the beginning of one, which BIO never has; needless: B- of one
    that follows none of its type, which IOB1 never has."""

    names: bool = True
    lost: int = 0
    needless: int = 0

    def see(self, tags: Sequence[str]) -> None:
        self.names = self.names and are_names(tags)
        if self.names:
            self.lost += len(goes_on(tags))
            before = (OUTSIDE, *tags)
            self.needless += sum(
                tag[:1] == "B" and tag[2:] != last[2:] for last, tag in zip(before, tags, strict=False)
            )

    @property
    def is_begun(self) -> bool:
        return self.names and self.lost > 0 and not self.needless

    @property
    def is_mixed(self) -> bool:
        return self.names and self.lost > 0 and self.needless > 0


def goes_on(tags: Sequence[str]) -> list[int]:
    """Where an I- begins a name."""
    before = (OUTSIDE, *tags)
    return [i for i, tag in enumerate(tags) if tag[:1] == "I" and tag[2:] != before[i][2:]]


def begun(tags: Sequence[str]) -> list[str]:
    """IOB1 as BIO."""
    found = list(tags)
    for i in goes_on(tags):
        found[i] = f"B-{tags[i][2:]}"
    return found
