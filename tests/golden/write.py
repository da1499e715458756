"""Writes small runs with the mapsto that is importable, for every later one to open: tests/test_golden.py.

    PYTHONPATH=src python tests/golden/write.py 0.2 [NAME]        writes tests/golden/0.2-*/

A folder is a run without its pages, with `expected.json` beside it: what that version answered. Written once and
never changed: where a format changes, the reader learns to read the old one. Data lies in `data/`, made here too
where it is not there yet. A record holds no path of the machine it was made on: `/data/` stands for the data's
folder.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORDS = ("the", "a", "cat", "dog", "sits", "runs", "on", "under", "mat", "tree", "red", "blue")
QUIET = ("--threads", "1", "--plan", "default", "--precision", "float32", "--no-samples", "--allow", "leakage")
LEFT_OUT = ("report.html", "README.md", "lock")  # drawn again from the rest, or of one process
TABLE = ("cells.csv", "a, b, city, day -> rich:category, price:number")
TABLE_NET = ("--model", "mlp(width=4,depth=1,members=2)", "--batch", "16")
RUNS = {
    "table": (*TABLE, *TABLE_NET, "--steps", "200"),
    "cut": (*TABLE, *TABLE_NET, "--steps", "300", "--drop", "day"),  # its training is ended halfway
    "text": ("texts.csv", "review:text -> stars:category", "--model", "lstm(token=4,width=4)", "--batch", "16", "--steps", "60"),
    "tags": ("tags.jsonl", "words:text -> tags", "--model", "tagger(token=1,width=2,dropout=0)", "--batch", "8", "--steps", "150", "--lr", "0.03"),
    "pairs": ("texts.csv", "review:text -> stars:text", "--model", "seq2seq(width=8,depth=1,decoder=1,heads=1,dropout=0)", "--batch", "16", "--steps", "300", "--lr", "0.03"),
    "pictures": ("pictures", "image(size=8) -> category", "--model", "resnet(depth=8,width=4)", "--batch", "16", "--steps", "20"),
    "book": ("book.txt", "-> text(tokenizer=char)", "--model", "gpt(width=8,depth=1,heads=1)", "--batch", "4", "--steps", "20"),
}  # fmt: skip


def write_data(folder: Path) -> None:
    """A table, two of texts, a text and a folder of pictures: some 40 KB."""
    import numpy as np
    import PIL.Image

    folder.mkdir()
    draw, noise = random.Random(1), np.random.default_rng(0)
    rows = [("a", "b", "city", "day", "rich", "price")]
    for i in range(420):
        a, b, city = draw.gauss(0, 1), draw.gauss(0, 1), draw.choice(("Rome", "Oslo", "Lima"))
        price = 3 * a - b + (city == "Rome") + draw.gauss(0, 0.3)
        day = f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}"
        rows.append((f"{a:.3f}", "" if i % 11 == 0 else f"{b:.3f}", city, day, "yes" if price > 0 else "no", f"{price:.3f}"))
    write_csv(folder / "cells.csv", rows)
    rows = [("review", "stars")]
    for i in range(120):
        words = [*draw.choices(WORDS, k=5), ("good", "bad")[i % 2]]
        rows.append((" ".join(words), ("up", "down")[i % 2]))
    write_csv(folder / "texts.csv", rows)
    with (folder / "tags.jsonl").open("w") as file:
        for _ in range(60):
            words = draw.choices(WORDS, k=4)
            tags = ["B-beast" if word in ("cat", "dog") else "O" for word in words]
            file.write(json.dumps({"words": words, "tags": tags}) + "\n")
    (folder / "book.txt").write_text("\n\n".join(" ".join(draw.choices(WORDS, k=30)) for _ in range(40)))
    for i in range(60):
        place = folder / "pictures" / ("dark", "light")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = noise.normal((80, 170)[i % 2], 30, (8, 8)).clip(0, 255).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(place / f"{i:02d}.png")


def set_times(folder: Path) -> None:
    """A run knows its data by name, size and time of each file; a checkout sets the time anew."""
    for path in folder.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_run(name: str, data: Path, folder: Path) -> Path:
    """Train as the command line does; the run's folder. 'cut' ends in the middle, with a checkpoint."""
    command = [sys.executable, "-m", "mapsto.cli", "train", *RUNS[name], *QUIET, "--name", name, "--out", str(folder)]
    with subprocess.Popen([*command, "--json"], cwd=data, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if name == "cut" and json.loads(line).get("step", 0) > 100:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == (143 if name == "cut" else 0), name
    (run,) = folder.glob(f"*-{name}")
    return run


def answers(run: Any, name: str, data: Path) -> list[Any]:
    """What the run says of its data's first rows; one that writes: a text and what it thinks of one."""
    if name == "book":
        (_, found), *_ = run.score(str(data / "book.txt"))
        return [run.sample(1, "the cat", tokens=40, seed=3), found]
    rows = sorted((data / "pictures").rglob("*.png"))[:8] if name == "pictures" else str(data / RUNS[name][0])
    found = run.predict([str(row) for row in rows] if isinstance(rows, list) else rows)[:20]
    return [{slot: one.to_json() for slot, one in answer.predictions.items()} for answer in found]


def scores(run: Any) -> dict[str, dict[str, float]]:
    """The test figures of metrics.json."""
    return {slot: {metric: one["value"] for metric, one in found.items()} for slot, found in run.metrics["test"].items()}


def neutral(run: Path, data: Path) -> None:
    """No path, user or machine in the record."""
    record = (run / "run.json").read_text(encoding="utf-8").replace(str(data), "/data")
    known = json.loads(record)
    known["machine"] |= {"system": "Linux", "processor": "x86_64"}
    known["store"] = "/cache/store/" + Path(known["store"]).name
    (run / "run.json").write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(version: str, *names: str) -> None:
    import mapsto

    data = HERE / "data"
    if not data.exists():
        write_data(data)
    set_times(data)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MAPSTO_CACHE"] = f"{folder}/cache"
        for name in names or RUNS:
            run, kept = write_run(name, data, Path(folder)), HERE / f"{version}-{name}"
            left_out = (*LEFT_OUT, *(("sections.json",) if name == "table" else ()))  # some 60 KB of a table's many cells
            shutil.copytree(run, kept, ignore=shutil.ignore_patterns(*left_out))
            done = mapsto.resume(run) if name == "cut" else mapsto.load(run)
            found = {"answers": answers(done, name, data), "test": scores(done)}
            (kept / "expected.json").write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
            neutral(kept, data)
            there = [path for path in kept.iterdir() if re.search(rb"/(tmp|home|root|work)/", path.read_bytes())]
            assert not there, f"a path of this machine: {there}"


if __name__ == "__main__":
    main(*sys.argv[1:])
