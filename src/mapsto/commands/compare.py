"""mapsto compare: runs side by side."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mapsto.commands.base import takes_trust
from mapsto.events import Emit
from mapsto.terminal.words import say

HELP = "which of several runs is better, whether that is chance, and at what cost"


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("runs", metavar="RUN", nargs="+", help="two or more runs' folders")
    takes_trust(command)
    command.add_argument(
        "--metric", help="what decides: METRIC or METRIC@OUTPUT; default: each output's first"
    )
    command.add_argument(
        "--out", metavar="PAGE.html", help="where to write the page (compare.html beside the first run)"
    )


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.report.compare import compared, write_page
    from mapsto.report.text import lines_of

    runs, sections = compared(asked.runs, asked.metric)
    page = write_page(runs, sections, Path(asked.out) if asked.out else None)
    if asked.json:
        found = {
            section.name.partition("-")[2]: {**section.figures, "verdict": section.headline}
            for section in sections
            if section.figures
        }
        print(json.dumps({"page": str(page), "outputs": found}))
        return 0
    for section in sections[: len([section for section in sections if section.figures]) + 2]:
        say("\n".join([*lines_of(section), ""]))
    print(page)
    return 0
