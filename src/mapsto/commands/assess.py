"""mapsto assess: put questions to a finished run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsto.commands.base import places, takes_places, takes_run
from mapsto.events import Emit
from mapsto.terminal.words import say

if TYPE_CHECKING:
    from mapsto.blocks import Section
    from mapsto.run import Run

HELP = "put questions to a finished run; without a question, list those that fit it"


def arguments(command: argparse.ArgumentParser) -> None:
    takes_run(command)
    command.add_argument("questions", metavar="QUESTION", nargs="*", help="questions by name, or 'all'")
    command.add_argument("--data", help="new rows with answers; default: the rows the run itself held back")
    takes_places(command)
    command.add_argument("--out", metavar="PAGE.html", help="write a page instead of text")
    command.add_argument("--no-samples", action="store_true", help="show no row of the data")
    command.add_argument(
        "--positive", metavar="CLASS", help="of two classes the one that is looked for; default: the rarer"
    )


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.assess import _ask as ask
    from mapsto.data.open import open_source
    from mapsto.report.text import lines_of
    from mapsto.run import Run
    from mapsto.run.positive import set_positive

    run = Run.open(asked.run)
    if not asked.questions:
        return _list(_fitting(run, ask.titles()), asked.json)
    _check(asked.out)
    if asked.positive is not None:
        set_positive(run, asked.positive)
    data = open_source(asked.data, places(asked)) if asked.data else None
    view = ask.view_on(run, data, _to_errors)
    sections = ask.ask_all(view, None if asked.questions == ["all"] else asked.questions)
    sections = [section.public() for section in sections] if asked.no_samples else sections
    if asked.out:
        _page(run, sections, Path(asked.out), asked.data)
    for section in sections:
        if asked.json:
            print(json.dumps(section.to_json(), ensure_ascii=False))
        elif not asked.out:
            say("\n".join([*lines_of(section), ""]))
    if asked.out and not asked.json:
        print(asked.out)
    return 0


def _fitting(run: Run, titles: dict[str, str]) -> dict[str, str]:
    """The questions that made sense for the run when all were asked; every one where that was never done."""
    from mapsto.report.reporting import kept

    found = {section.name: section.title for section in kept(run)[0] if section.name in titles}
    return {name: found[name] for name in titles if name in found} or titles


def _list(titles: dict[str, str], as_json: bool) -> int:
    if as_json:
        print(json.dumps(titles, ensure_ascii=False))
        return 0
    width = max(map(len, titles))
    print("\n".join(f"{name.ljust(width)}  {title}" for name, title in titles.items()))
    return 0


def _to_errors(event: Any) -> None:
    """Notes go where they do not mix with the answers."""
    if event["event"] == "note":
        print(f"mapsto: {event['text']}", file=sys.stderr)


def _check(out: str | None) -> None:
    """What can be refused before anything is computed."""
    from mapsto.errors import ConfigError

    if out is not None and Path(out).suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: expected a name ending in .html.\nCall it page.html, say.")


def _page(run: Run, sections: Sequence[Section], out: Path, data: str | None) -> None:
    from mapsto.files import disk_error, write_text
    from mapsto.report.markup import data_text, tag
    from mapsto.report.page import chapter, document

    on = f"on {data}" if data else "on the rows it held back"
    kicker = tag("p", f"Questions to a run, {on}", class_="kicker")
    map_ = tag("p", tag("code", data_text(run.record.get("signature_text", ""), 220)), class_="map")
    head = tag("header", kicker, tag("h1", data_text(run.path.absolute().name, 80)), map_, class_="hero")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise disk_error(out, problem) from None
    write_text(out, document(run.path.absolute().name, head, [chapter(section) for section in sections]))
