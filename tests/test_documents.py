"""Commands that the pages show, run as they stand: blocks behind `<!-- run -->`, in one folder, page after page.

Trainings get a budget of a few steps, and dates of runs are today's; nothing else differs from what is shown."""

from __future__ import annotations

import ast
import random
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from pathlib import Path

import pytest
from test_serve import Server

from mapsto.cli import main, parser
from mapsto.registry import names
from mapsto.report import reporting

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = ("tasks/tables.md", "data.md", "training.md", "report.md", "using.md", "stream.md", "serve.md", "export.md", "when-the-net-loses.md", "tasks/language-models.md", "python.md")  # in this order: later ones use earlier ones' runs
MARKED = re.compile(r"^<!-- run -->\n```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BUDGET = ("--steps", "30", "--threads", "1", "--plan", "default")
SLOW = ("--plan", "default")  # of a command that has no budget
SHOWN = "2026-01-31"  # the day on which runs of the pages were made
SHOWN_PLACE = "127.0.0.1:8000"  # where they are served


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages' data: houses, some more of them, new ones without a price, and texts."""
    folder, draw = tmp_path_factory.mktemp("documents"), random.Random(0)
    for name, rows in (("houses.csv", 240), ("more-houses.csv", 60), ("new.csv", 5)):
        lines = ["id,area,rooms,city,price"]
        for _ in range(rows):
            area, rooms, city = draw.uniform(30, 200), draw.randrange(1, 7), draw.choice(("Ulm", "Bonn", "Kiel"))
            price = 3 * area + 20 * rooms + 50 * (city == "Bonn") + draw.gauss(0, 15)
            lines.append(f"{name[0]}{draw.randrange(10**6)},{area:.1f},{rooms},{city},{price:.0f}")
        if name == "new.csv":
            lines = [line.rpartition(",")[0] for line in lines]
        (folder / name).write_text("\n".join(lines) + "\n")
    words = ["to", "be", "or", "not", "that", "is", "the", "question", "whether"]
    for name, lines in (("shakespeare.txt", 160), ("sonnets.txt", 4)):
        text = "\n\n".join("ROMEO:\n" + " ".join(draw.choices(words, k=12)) for _ in range(lines))
        (folder / name).write_text(text + "\n")
    return folder


def marked(page: str) -> list[tuple[str, str]]:
    """(language, code) of each block to be run, its dates today's."""
    text = (DOCS / page).read_text(encoding="utf-8").replace(SHOWN, f"{date.today()}")
    return MARKED.findall(text)


def run(line: str) -> int:
    words = shlex.split(line, comments=True)[1:]
    if words[0] == "train" and "baseline" not in words:  # which is solved at once
        words += [word for word in BUDGET if not {"--minutes", "--steps", "--epochs"} & set(words)]
    return main(words + list(SLOW if words[0] == "plan" else ()))


def test_marked_blocks_run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_thread: None, two_nets: None) -> None:
    """All pages in one test: later ones use earlier ones' runs, and tests are shared out among processes."""
    ask = reporting.ask
    monkeypatch.chdir(place)
    for page in PAGES:
        # the command of the report's page asks what a training would have asked, once for all pages
        monkeypatch.setattr(reporting, "ask", ask if page == "report.md" else lambda *known: None)
        with served() if page == "serve.md" else nullcontext(SHOWN_PLACE) as address:
            run_blocks(page, capsys, address)

    head = (place / "answers.csv").read_text().splitlines()
    assert head[0] == "row,price,low,high,unsure,note,problem" and len(head) == 6
    assert (place / "submission.csv").read_text().startswith("id,price\nn")
    assert len((place / "server-answers.csv").read_text().splitlines()) == 6 and len((place / "learned-answers.jsonl").read_text().splitlines()) == 60
    assert all((place / name).exists() for name in ("answers.jsonl", "vectors.parquet", "compare.html", "robustness.html"))


@contextmanager
def served() -> Iterator[str]:
    """The run of the pages, served as `mapsto serve houses=…` does; its address."""
    with Server({"houses": Path("runs") / f"{date.today()}-houses"}) as server:
        yield server.until_ready().url.removeprefix("http://")


def run_blocks(page: str, capsys: pytest.CaptureFixture[str], address: str) -> None:
    blocks = marked(page)
    assert blocks, f"{page}: a page of PAGES has a block to run"
    for language, code in blocks:
        if language == "python":
            exec(compile(ast.parse(code.replace(SHOWN_PLACE, address)), page, "exec"), {})
            continue
        for line in code.replace(SHOWN_PLACE, address).splitlines():
            assert run(line) == 0, f"{page}: {line}\n{capsys.readouterr().err}"
            said = capsys.readouterr()
            assert said.out or said.err or "--out" in line, f"{page}: {line}"


def test_every_marked_block_is_run() -> None:
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if "<!-- run -->" in path.read_text(encoding="utf-8")}
    assert pages == set(PAGES)
    assert all(line.startswith("mapsto ") for page in PAGES for language, code in marked(page) if language == "sh" for line in code.splitlines())


def test_every_command_and_question_has_its_words() -> None:
    using, report = ((DOCS / name).read_text(encoding="utf-8") for name in ("using.md", "report.md"))
    pages = using + "".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
    assert all(f"mapsto {command}" in pages for command in parser()[1])
    assert set(names("assess")) == set(re.findall(r"\| `(\w+)` \|$", report, re.MULTILINE))
    for name, command in parser()[1].items():
        assert command.description and "\n" not in command.description, f"{name}: what it does, in one line"


def test_every_setting_is_found_by_its_standard_term() -> None:
    """What people search for in `--help` and on the pages."""
    helped = "\n".join(command.format_help() for command in parser()[1].values())
    helped = " ".join(helped.split()).lower()
    pages = " ".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")).lower()
    for term in ("early stopping", "temperature", "beam search", "fine-tuning", "warm-up", "gradient clipping", "batch size", "learning rate", "weight decay"):
        assert term in helped.replace("- ", "-"), term
        assert term in pages, term
    for term in ("test-time augmentation", "calibration", "overfitting", "cross-validation", "data augmentation", "label smoothing", "conformal prediction", "leakage"):
        assert term in pages, term
