"""Colour where a person looks: in a terminal, unless NO_COLOR is set (https://no-color.org).

Lines are painted after they were made harmless (`mapsto.errors.printable`), by how they begin.
"""

from __future__ import annotations

import os
import re
from typing import IO, Any

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"
BEGINNINGS = (  # of lines, with what they are painted
    (re.compile(r"^\s*(warning:)"), f"{BOLD};{YELLOW}"),
    (re.compile(r"^(mapsto:)"), f"{BOLD};{RED}"),
    (re.compile(r"^(data|reading|model|plan|learning|results)$"), BOLD),
    (re.compile(r"^((?:report|predict with|make some|learn on|find out why):)"), CYAN),
    (re.compile(r"^(  change with a signature.*)$"), DIM),
    (re.compile(r"^(    95% interval.*)$"), DIM),
)
BEST = re.compile(r"\S+\*(?= |$)")  # a figure of the table of results


def coloured(stream: IO[Any]) -> bool:
    """Does what reads this stream show colours?"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(line: str) -> str:
    """A line as a terminal shows it in colour."""
    for beginning, style in BEGINNINGS:
        if found := beginning.match(line):
            low, high = found.span(1)
            return f"{line[:low]}{_in(style, line[low:high])}{line[high:]}"
    return BEST.sub(lambda best: _in(GREEN, best[0]), line) if line.startswith("  ") else line


def _in(style: str, text: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m"
