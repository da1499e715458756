"""Every command that writes, killed at random instants: nothing is lost, all is usable at once, and what goes on
ends as it would have, bit for bit.

Commands run in forks of one process that has mapsto imported already, so that a kill costs no start: MAPSTO_KILLS
says how many of each command (200 in all once a release: MAPSTO_KILLS=14).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mapsto import api
from mapsto.run import Run

KILLS = int(os.environ.get("MAPSTO_KILLS", "1"))  # of each command

NURSERY = """
import json, os, select, signal, sys, time
import torch
import mapsto.training.trainer as trainer
from mapsto.cli import main
import mapsto.api, mapsto.learners.supervised, mapsto.models, mapsto.report.reporting, mapsto.assess, mapsto.checks
trainer.SAVE, trainer.TICK = 0.1, 0.02  # checkpoints so often that kills fall into them
for line in sys.stdin:
    asked = json.loads(line)
    begun = time.monotonic()
    child = os.fork()
    if not child:
        out = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        torch.set_num_threads(1)
        if not asked["pages"]:
            mapsto.report.reporting.written = lambda *words: ""
        try:
            code = main(asked["words"])
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    if asked["kill"] is not None:
        time.sleep(asked["kill"])  # the instant is the subject
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    print(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - begun]), flush=True)
"""
LINE = ("--threads", "1", "--precision", "float32", "--seed", "1")
TRAININGS = {
    "a number": ("table", "x, shop -> y", "--model", "mlp(width=16,depth=1,members=2)", "--steps", "60", "--batch", "32"),
    "a category": ("table", "x, shop -> sign", "--model", "mlp(width=16,depth=1,members=2)", "--steps", "60", "--batch", "32"),
    "pictures": ("photos", "image -> category", "--model", "resnet(depth=8,width=4)", "--steps", "12", "--batch", "16"),
    "texts": ("notes", "text -> topic", "--steps", "20", "--batch", "16"),
    "prose": ("prose", "-> text:text(max=32)", "--model", "gpt(width=16,depth=1,heads=1)", "--steps", "20", "--batch", "8"),
    "translations": ("pairs", "en:text -> fr:text", "--model", "seq2seq(width=16,depth=1,heads=1)", "--steps", "20", "--batch", "16"),
}


@dataclass
class Nursery:
    """Runs commands, and kills them."""

    process: subprocess.Popen[str]
    log: Path

    def run(self, *words: object, kill: float | None = None, pages: bool = False) -> tuple[int, float]:
        """(exit code, seconds); kill: after so many seconds."""
        asked = {"words": [str(word) for word in words], "kill": kill, "log": str(self.log), "pages": pages}
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return tuple(json.loads(self.process.stdout.readline()))

    def works(self, *words: object, pages: bool = False) -> float:
        """Seconds that the command took, which must do what it is asked."""
        code, seconds = self.run(*words, pages=pages)
        assert code == 0, (words, self.log.read_text()[-2000:])
        return seconds


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    place = tmp_path_factory.mktemp("nursery")
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    around = {**os.environ, **one, "MAPSTO_CACHE": str(place / "cache")}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", NURSERY], stdin=pipe, stdout=pipe, text=True, env=around) as process:
        yield Nursery(process, place / "log")
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, table: Path, photos: Path) -> dict[str, Path]:
    draw, place = random.Random(0), tmp_path_factory.mktemp("data")
    words = ["the", "a", "house", "river", "tree", "stone", "bird", "song", "walks", "sings", "stands", "falls", "red", "green", "blue"]
    texts = [" ".join(draw.choices(words, k=draw.randint(4, 12))) for _ in range(120)]
    (place / "notes.csv").write_text("text,topic\n" + "".join(f"{text},{'ab'['bird' in text]}\n" for text in texts))
    (place / "prose.txt").write_text("\n".join(texts * 4) + "\n")
    (place / "pairs.tsv").write_text("en\tfr\n" + "".join(f"{text}\t{text.upper()}\n" for text in texts))
    return {
        "table": table,
        "photos": photos,
        "notes": place / "notes.csv",
        "prose": place / "prose.txt",
        "pairs": place / "pairs.tsv",
    }


def only_run(folder: Path) -> Path | None:
    return next((file.parent for file in folder.glob("*/run.json")), None)


def training(name: str, data: dict[str, Path], out: Path) -> tuple[object, ...]:
    what, *more = TRAININGS[name]
    return ("train", data[what], *more, *LINE, "--out", out)


@pytest.mark.parametrize("name", TRAININGS if KILLS > 1 else ("a category", "prose"))
def test_a_killed_training_ends_as_it_would_have(nursery: Nursery, data: dict[str, Path], name: str, tmp_path: Path) -> None:
    seconds = nursery.works(*training(name, data, tmp_path / "unbroken"))
    unbroken, dice = only_run(tmp_path / "unbroken"), random.Random(name)
    assert unbroken is not None
    for number in range(KILLS):
        out = tmp_path / f"killed-{number}"
        nursery.run(*training(name, data, out), kill=dice.uniform(0, seconds))
        run = only_run(out)
        if run is None:
            nursery.works(*training(name, data, out))
        elif Run.open(run).status != "done":
            nursery.works("resume", run)
        run = only_run(out)
        assert run is not None and Run.open(run).status == "done" and api.same_weights(unbroken, run), number
        assert Run.open(run).metrics["test"] == Run.open(unbroken).metrics["test"]
        shutil.rmtree(out)


@pytest.fixture(scope="module")
def learned(nursery: Nursery, data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that were finished, with their pages."""
    found = {}
    for name in ("a number", "prose"):
        out = tmp_path_factory.mktemp("learned")
        nursery.works(*training(name, data, out), pages=True)
        found[name] = only_run(out)
    return {name: path for name, path in found.items() if path is not None}


def test_a_killed_extension_is_undone_or_goes_on(
    nursery: Nursery, data: dict[str, Path], learned: dict[str, Path], tmp_path: Path
) -> None:
    words = ("extend", "--steps", "80")
    unbroken = Path(shutil.copytree(learned["a number"], tmp_path / "unbroken"))
    seconds, dice = nursery.works(words[0], unbroken, *words[1:]), random.Random("extend")
    for number in range(2 * KILLS):
        run = Path(shutil.copytree(learned["a number"], tmp_path / f"killed-{number}"))
        nursery.run(words[0], run, *words[1:], kill=dice.uniform(0, seconds))
        nursery.works("predict", run, data["table"], "--out", tmp_path / "answers.csv")
        if Run.open(run).status != "done":
            nursery.works("resume", run)
        elif not (run / "segments").exists():
            nursery.works(words[0], run, *words[1:])
        assert Run.open(run).status == "done" and api.same_weights(unbroken, run), number
        shutil.rmtree(run)


WRITERS: dict[str, Callable[[Path, Path, Path], tuple[object, ...]]] = {
    "report": lambda run, table, out: ("report", run),
    "predict": lambda run, table, out: ("predict", run, table, "--out", out / "answers.csv"),
    "embed": lambda run, table, out: ("embed", run, table, "--out", out / "known.csv"),
    "assess": lambda run, table, out: ("assess", run, "slices", "confusion", "--out", out / "page.html"),
    "compare": lambda run, table, out: ("compare", run, run.parent / "b", "--out", out / "compared.html"),
    "check": lambda run, table, out: ("check", table, "x, shop -> y", "--fix", out / "clean"),
    "cache": lambda run, table, out: ("cache", "--clear"),
    "profile": lambda run, table, out: ("profile", run, "--steps", "3", "--out", out / "profile"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_killed_command_writes_is_whole_or_not_there(
    nursery: Nursery, data: dict[str, Path], learned: dict[str, Path], name: str, tmp_path: Path
) -> None:
    def prepared(where: str) -> tuple[Path, Path]:
        run = Path(shutil.copytree(learned["a number"], tmp_path / where / "a"))
        shutil.copytree(learned["a number"], tmp_path / where / "b")
        (tmp_path / where / "out").mkdir()
        return run, tmp_path / where / "out"

    run, out = prepared("unbroken")
    seconds, dice = nursery.works(*WRITERS[name](run, data["table"], out), pages=True), random.Random(name)
    expected = sizes(out)
    for number in range(KILLS):
        killed, out = prepared(f"killed-{number}")
        words = WRITERS[name](killed, data["table"], out)
        nursery.run(*words, kill=dice.uniform(0, seconds), pages=True)
        there = sizes(out)
        assert not {path: size for path, size in there.items() if not alike(size, expected.get(path, 0))}, number
        nursery.works("predict", killed, data["table"], "--out", tmp_path / "answers.csv")
        if not there:
            nursery.works(*words, pages=True)
            assert set(sizes(out)) == set(expected)
        assert (killed / "report.html").read_text().rstrip().endswith("</html>")
        shutil.rmtree(killed.parent)


def sizes(folder: Path) -> dict[str, int]:
    """{file: bytes} of what a person finds there; what a kill left half written is a hidden or .tmp file."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.stat().st_size for path in files if ".tmp" not in path.name}


def alike(one: int, other: int) -> bool:
    """Pages name times and folders, so that they differ by some bytes."""
    return abs(one - other) <= 0.05 * other + 50
