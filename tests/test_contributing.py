"""docs/extending.md's type, output, reader, split, model, learner and question, taken from the page: each is one new file in a copy of the package, and works."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# ([\w/]+\.py)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
TYPE, OUTPUT, MODEL, LEARNER, QUESTION = "types/colour.py", "outputs/rgb.py", "models/rbf.py", "learners/pi_model.py", "assess/balance.py"
READER, SPLIT = "data/readers/records.py", "data/splits/leave_one_out.py"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tables: noisy rings, which no line divides, and colours with their negatives."""
    folder, draw = tmp_path_factory.mktemp("contributing"), random.Random(0)
    with (folder / "rings.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["x", "y", "ring", "place"])
        for _ in range(400):
            angle, radius = draw.uniform(0, 2 * math.pi), draw.choice([0.3, 1.0])
            x, y = (radius * side(angle) + draw.gauss(0, 0.05) for side in (math.cos, math.sin))
            table.writerow([x, y, "inner" if radius < 0.5 else "outer", draw.choice("nesw")])
    with (folder / "rings.csv").open() as file:
        records = ["".join(f"{name}: {value}\n" for name, value in row.items() if name != "place") for row in csv.DictReader(file)]
    (folder / "rings.records").write_text("\n".join(records), encoding="utf-8")
    with (folder / "colours.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["colour", "negative"])
        for _ in range(400):
            colour = [draw.randrange(256) for _ in range(3)]
            table.writerow(["#" + bytes(colour).hex(), "#" + bytes(255 - value for value in colour).hex()])
    return folder


def train(place: Path, words: list[str], *additions: str) -> dict:
    """The last event of `mapsto train …` in a copy of the package with these blocks in their folders."""
    command = [sys.executable, "-m", "mapsto.cli", "train", *words, "--threads", "1", "--json", "--debug"]
    done = subprocess.run(command, cwd=place, env=within(copy_with(place, *additions)), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def within(house: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(house), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def copy_with(place: Path, *additions: str) -> Path:
    """A copy of the package with these blocks in their folders."""
    house = place / "-".join(Path(name).stem for name in additions or ("plain",))
    if not house.exists():
        shutil.copytree(ROOT / "src" / "mapsto", house / "mapsto", ignore=shutil.ignore_patterns("__pycache__"))
        for name in additions:
            assert not (house / "mapsto" / name).exists()
            (house / "mapsto" / name).write_text(BLOCKS[name], encoding="utf-8")
    return house


def test_the_page_holds_one_of_each() -> None:
    assert set(BLOCKS) == {TYPE, OUTPUT, READER, SPLIT, MODEL, LEARNER, QUESTION}


def test_a_type_and_an_output_are_a_file_each(place: Path) -> None:
    words = ["colours.csv", "colour:colour -> negative:colour", "--model", "mlp(width=32, depth=1, members=2)", "--steps", "200", "--lr", "0.02"]
    found = train(place, words, TYPE, OUTPUT)["test"]["negative"]["distance"]
    assert found["n"] >= 60 and found["value"] < 0.15  # always saying grey: 0.48 on average


def test_a_model_is_one_file(place: Path) -> None:
    words = ["rings.csv", "--target", "ring", "--drop", "place", "--model", "rbf(centres=32)", "--steps", "200", "--lr", "0.05"]
    assert train(place, words, MODEL)["test"]["ring"]["accuracy"]["value"] > 0.95  # a line: about one half


def test_a_model_may_lie_anywhere(place: Path) -> None:
    (place / "rbf.py").write_text(BLOCKS[MODEL], encoding="utf-8")
    words = ["rings.csv", "--target", "ring", "--drop", "place", "--model", "./rbf.py(centres=32)", "--steps", "200", "--lr", "0.05"]
    assert train(place, words)["test"]["ring"]["accuracy"]["value"] > 0.95


def test_a_learner_is_one_file(place: Path) -> None:
    words = [
        "rings.csv",
        "--target",
        "ring",
        "--drop",
        "place",
        "--model",
        "mlp(width=32, depth=1)",
        "--learner",
        "pi_model(weight=0.5)",
        "--steps",
        "100",
        "--lr",
        "0.02",
    ]
    assert train(place, words, LEARNER)["test"]["ring"]["accuracy"]["value"] > 0.95


def test_a_question_is_one_file(place: Path) -> None:
    done = train(place, ["rings.csv", "--target", "ring", "--drop", "place", "--model", "mlp(width=32, depth=1)", "--steps", "100", "--lr", "0.02"], QUESTION)
    sections = json.loads((place / done["run"] / "sections.json").read_text(encoding="utf-8"))["sections"]
    (found,) = [section for section in sections if section["name"] == "balance"]
    rows = found["blocks"][0]["rows"]
    assert sum(row[2] for row in rows) == sum(row[3] for row in rows) == done["test"]["ring"]["accuracy"]["n"]
    assert (found["figures"]["true"], found["figures"]["said"]) in [(row[2], row[3]) for row in rows]


def test_what_the_page_adds_keeps_the_contracts(place: Path) -> None:
    house = copy_with(place, TYPE, OUTPUT, READER)
    (checks,) = re.findall(r"^```python\n(from mapsto.outputs.rgb.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    program = f"{checks}\nfrom mapsto.testing import check_reader\ncheck_reader('records', 'rings.records')"
    with gzip.open(place / "packed.records.gz", "wb") as file:
        file.write((place / "rings.records").read_bytes())
    program += "\ncheck_reader('records', 'packed.records.gz')"

    done = subprocess.run([sys.executable, "-c", program], cwd=place, env=within(house), capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    for name, block in BLOCKS.items():
        found = subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "-"], input=block, capture_output=True, text=True)
        assert found.returncode == 0, f"{name}: {found.stdout}"


def test_a_reader_is_one_file(place: Path) -> None:
    words = ["rings.records", "--target", "ring", "--model", "mlp(width=32, depth=1)", "--steps", "100", "--lr", "0.02"]
    assert train(place, words, READER)["test"]["ring"]["accuracy"]["value"] > 0.95


def test_a_split_is_one_file(place: Path) -> None:
    words = ["rings.csv", "x, y -> ring:category", "--group", "place", "--folds", "4", "--model", "mlp(width=32, depth=1)", "--steps", "40", "--lr", "0.02"]
    done = train(place, words, SPLIT)
    folds = [json.loads((path / "run.json").read_text(encoding="utf-8"))["said"] for path in sorted((place / done["run"] / "folds").iterdir())]
    assert len(folds) == 4 and all(any("is left out" in sentence for sentence in said) for said in folds)
    assert done["test"]["ring"]["accuracy"]["n"] == 400
