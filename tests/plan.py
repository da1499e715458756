"""The plan of the source, drawn from ROOMS of test_project.py: docs/design.md.

    python tests/plan.py        writes it between the page's <!-- plan --> marks
"""

from __future__ import annotations

import ast
import re
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, PAGE = ROOT / "src" / "mapsto", ROOT / "docs" / "design.md"
WIDTH, HEIGHT, GAP, PAD, MARK = 132, 44, 12, 14, 34  # of a room, between rooms, around a floor, of a floor's number; pixels
STYLE = """
.plan{max-width:100%;height:auto;font-family:inherit}
.plan .floor{fill:currentColor;fill-opacity:.05;stroke:none}
.plan .room{fill:currentColor;fill-opacity:.06;stroke:currentColor;stroke-opacity:.45}
.plan text{fill:currentColor;font-size:13px;text-anchor:middle;dominant-baseline:central}
.plan .name{font-family:monospace}
.plan .number{font-size:11px;opacity:.6}
"""


WHAT = {
    "api": "train, load, resume, extend, reproduce, report: a function each",
    "assess": "questions put to a finished run, a file each",
    "batch": "what a step learns from: rows as tensors, and the random choices made for them",
    "blocks": "what a page is made of: paragraphs, tables, bars, curves",
    "cells": "raw cells and columns, as a source hands them over",
    "checks": "what is wrong with data, a file a fault",
    "cli": "words of the command line to calls; errors to three lines and an exit code",
    "commands": "a file a command",
    "config": "the settings, each with its sentence, unit and bounds",
    "deploy": "a run as something that answers by itself, proved against the run; a file a form",
    "lite": "answers of an exported run, without PyTorch",
    "lazy": "PyTorch, imported when it is first used",
    "data": "sources, splits, encoding, the store and its cache",
    "doctor": "what is wrong with a training, a file a group of complaints",
    "errors": "what can go wrong, as a person should hear it",
    "events": "what happens while it works, as dictionaries",
    "files": "files that are whole or absent; locks",
    "generation": "writing with a trained net: sampling, beam search, likelihood",
    "learners": "ways of learning, a file each",
    "look": "a few rows at every stage",
    "measure": "intervals, baselines, calibration, conformal sets, out-of-distribution detection",
    "metrics": "metrics as statistics of rows, so that each bootstraps",
    "models": "architectures, a file each",
    "outputs": "kinds of answers, a file each",
    "page": "the page that a run is tried on: its script and style, a file for each kind of field",
    "prediction": "what a person gets for a row",
    "recipes": "signature to model, learner and settings, and why",
    "registry": "the folder is the registry; files of one's own, executed only when named",
    "report": "the page, the model card, the comparison of runs",
    "run": "the folder one gets back: create, open, predict, evaluate",
    "signature": "what maps to what: parsing and writing it",
    "steps": "the main path: prepare, fit, finish",
    "terminal": "what one sees meanwhile",
    "testing": "checks that authors of types, models and learners can call",
    "training": "the loop, its plan, budget, decisions and checkpoints; several processes",
    "types": "kinds of data, a file or folder each: image, audio, text, number, category, …",
}  # in a user's words; a room without gets its docstring's first sentence


def floors() -> list[list[str]]:
    """ROOMS of test_project.py, lowest first; read, not imported."""
    tree = ast.parse((ROOT / "tests" / "test_project.py").read_text(encoding="utf-8"))
    (found,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROOMS")
    return [line.split() for line in ast.literal_eval(found)]


def about(room: str) -> str:
    """What the room holds, in a line."""
    if room in WHAT:
        return WHAT[room]
    path = SOURCE / room / "__init__.py" if (SOURCE / room).is_dir() else SOURCE / f"{room}.py"
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(said.partition("\n\n")[0].split()).removeprefix(f"{room}: ")
    return re.split(r"(?<=\w[.:;?]) ", first)[0].rstrip(":;") if first else ""


def drawing(plan: list[list[str]]) -> str:
    """An inline SVG: a floor a row, the highest on top. Colours are the page's own, so it is read by day and by night."""
    most = max(map(len, plan))
    wide = MARK + 2 * PAD + most * (WIDTH + GAP) - GAP
    floor = HEIGHT + 2 * PAD
    high = len(plan) * (floor + 4)
    parts = [f'<svg class="plan" viewBox="0 0 {wide} {high}" width="{wide}" role="img" aria-label="Plan of the source">']
    parts.append(f"<style>{STYLE.replace(chr(10), '')}</style>")
    for row, rooms in enumerate(reversed(plan)):
        top = row * (floor + 4)
        parts.append(f'<rect class="floor" x="0" y="{top}" width="{wide}" height="{floor}" rx="6"/>')
        parts.append(f'<text class="number" x="{MARK // 2}" y="{top + floor // 2}">{len(plan) - row}</text>')
        left = MARK + PAD + (most - len(rooms)) * (WIDTH + GAP) // 2
        for spot, room in enumerate(rooms):
            x = left + spot * (WIDTH + GAP)
            folder = "/" if (SOURCE / room).is_dir() else ""
            title = f"<title>{escape(about(room))}</title>"
            box = f'<rect class="room" x="{x}" y="{top + PAD}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
            name = f'<text class="name" x="{x + WIDTH // 2}" y="{top + PAD + HEIGHT // 2}">{room}{folder}</text>'
            parts.append(f"<g>{title}{box}{name}</g>")
    return "\n".join(["<div>", *parts, "</svg>", "</div>"])


def table(plan: list[list[str]]) -> str:
    """What each room holds, by floor."""
    lines = ["| floor | room | what it holds |", "|---|---|---|"]
    for number, rooms in reversed(list(enumerate(plan, 1))):
        lines += [f"| {number} | `{room}` | {about(room)} |" for room in rooms]
    return "\n".join(lines)


def plan() -> str:
    """What stands between the marks."""
    return f"<!-- plan -->\n{drawing(floors())}\n\n{table(floors())}\n<!-- /plan -->"


def drawn(page: str) -> str:
    """The page with the plan as it is now."""
    return re.sub(r"<!-- plan -->.*<!-- /plan -->", lambda _: plan(), page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
