"""mapsto cache: encoded data and unpacked archives, kept for the next training, and how much of it."""

from __future__ import annotations

import argparse
import json
import re

from mapsto.errors import ConfigError
from mapsto.events import Emit

HELP = (
    "data kept encoded and unpacked for the next training: what there is, how much may stay, or away with it"
)
NOTES = {"unpacked": "unpacked archive", "left": "to be cleared"}
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--limit",
        metavar="SIZE",
        help="keep at most so much from now on, such as 20GB; what was used longest ago goes first",
    )
    command.add_argument(
        "--clear", action="store_true", help="take away everything that no training reads now"
    )


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.data import cache
    from mapsto.data.encode import code

    if asked.limit is not None:
        cache.set_limit(size_of(asked.limit))
    if asked.limit is not None or asked.clear:
        freed = cache.shrink(code(), most=0 if asked.clear else None, recent=0.0)
        emit({"event": "note", "text": f"{size_text(freed)} freed"})
    found = cache.kept()[::-1]
    if asked.json:
        for one in found:
            print(
                json.dumps(
                    {
                        "folder": str(one.folder),
                        "data": one.name,
                        "kind": one.kind,
                        "bytes": one.bytes,
                        "used": one.used,
                        "in_use": cache.in_use(one.folder),
                    }
                )
            )
        return 0
    print("\n".join(_lines(found, code())))
    there = size_text(sum(one.bytes for one in found))
    print(f"{there} of at most {size_text(cache.limit())} in {cache.cache_folder()}")
    return 0


def size_of(text: str) -> int:
    """'20GB' -> 20,000,000,000 bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B?)\s*", text.upper())
    if found is None:
        raise ConfigError(f"--limit {text}: expected a size such as 500MB or 20GB.")
    unit = found[2] if found[2] in UNITS else f"{found[2]}B" if found[2] != "B" else ""
    return int(float(found[1]) * UNITS[unit])


def size_text(size: int) -> str:
    """Bytes for people, in powers of a thousand."""
    unit = next(unit for unit in ("TB", "GB", "MB", "KB", "") if size >= UNITS[unit] or not unit)
    return f"{size / UNITS[unit]:.3g} {unit or 'bytes'}"


def _lines(found: list, current: str) -> list[str]:
    """A table: data, size, last use, and what is worth knowing."""
    import time

    from mapsto.data import cache

    rows = [("data", "size", "last used", "")] if found else []
    for one in found:
        note = "in use" if cache.in_use(one.folder) else NOTES.get(one.kind, "of another version")
        note = "" if one.kind == "encoded" and one.code == current and note != "in use" else note
        rows.append(
            (one.name, size_text(one.bytes), time.strftime("%Y-%m-%d %H:%M", time.localtime(one.used)), note)
        )
    widths = [max(len(row[i]) for row in rows) for i in range(4)] if rows else []
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
