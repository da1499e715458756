"""Lines as a narrow terminal can show them."""

from __future__ import annotations

import re
import textwrap

COPIED = re.compile(r"(?:[\w ]+: )?(?:mapsto |\S+$)")  # whole lines


def wrapped(line: str, most: int) -> list[str]:
    """A line in several where it is longer, the others further in than the first. What is to be copied, a
    command or a path, stays in one piece."""
    if len(line) <= most or COPIED.match(line):
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(),
        most,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def fitting(said: str, most: int) -> str:
    """What stands between double spaces, as much as fits: the first and the last, then from the middle on
    what is behind."""
    parts = said.split("  ")
    while len(parts) > 2 and len("  ".join(parts)) > most:
        parts.pop(-2)
    return "  ".join(parts)
