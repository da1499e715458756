"""Figures and signatures as a person reads them, on one line."""

from __future__ import annotations

import re
import shutil
import sys

from mapsto.errors import printable

WIDEST, NARROWEST = 110, 40  # characters of a line
CONVERSATIONS = re.compile(r"^-> ((?:\S+:)?messages(?:\([^()]*\))?)$")


def number(value: float | None) -> str:
    """Four digits that mean something."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    if 0 < seconds < 1:
        return "under a second"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
    )


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit != "GB" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def short(signature: str, most: int = 160) -> str:
    """A signature of hundreds of columns as one line. Conversations as they are asked for, which hold what is
    given and what is learned."""
    signature = CONVERSATIONS.sub(r"\1 -> text", signature.strip())
    if len(signature) <= most:
        return signature
    left, _, right = signature.rpartition("->")
    terms, shown = left.split(", "), 3
    if len(terms) < 5:
        return f"{signature[: most - 1]}…"
    while len(", ".join(terms[:shown])) > most - 50 and shown > 1:
        shown -= 1
    return f"{', '.join(terms[:shown])}, … ({len(terms)} inputs) ->{right}"


def columns() -> int:
    """Characters of a line: as many as the terminal has, WIDEST at most; WIDEST in a file or a pipe."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns))


def say(text: str) -> None:
    """Print what may hold cells or names of files, so that a terminal acts on nothing of it."""
    print(printable(text), flush=True)


def shown(text: str) -> str:
    """A piece of the data's own text as standard output may have it: as it is in a file or a pipe."""
    return printable(text) if sys.stdout.isatty() else text
