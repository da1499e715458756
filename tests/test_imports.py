"""What a training imports on its way from the shell to the first step of the optimizer, for a table: measured,
printed (`pytest -s`), and held.

Measuring, reports, questions, other commands, models and learners come when they are used. Third-party packages
that torch needs itself are torch's.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mapsto

MODULES, LINES, PACKAGES = 190, 24_650, 4  # reached; 90 modules and 12,000 lines are wished for

TRAINING = """
import json, os, sys
from pathlib import Path

import torch

torch.zeros(1, requires_grad=True).sum().backward()


def packages():
    files = {name.split(".")[0]: str(getattr(one, "__file__", None) or "") for name, one in sys.modules.items()}
    return {name for name, file in files.items() if "site-packages" in file}


of_torch = packages()


def first_step(self, *rest, **more):
    files = {
        name: one.__file__
        for name, one in sys.modules.items()
        if name.split(".")[0] == "mapsto" and getattr(one, "__file__", None)
    }
    lines = {name: len(Path(file).read_text(encoding="utf-8").splitlines()) for name, file in files.items()}
    found = {"lines": lines, "packages": sorted(packages() - of_torch - {"mapsto"}), "all": list(sys.modules)}
    Path("found.json").write_text(json.dumps(found))
    os._exit(0)


from mapsto.cli import main
from mapsto.training.eager import AdamW

AdamW.step = first_step

main(["train", "cells.csv", "a, b -> label", "--steps", "2", "--device", "cpu", "--learner", "supervised", "--json"])
"""

NEVER = ("torch._dynamo", "torch._inductor", "sympy", "sklearn", "scipy", "pandas", "pyarrow", "duckdb", "rich")

LATER = (  # what nothing before the first step may import
    "mapsto.assess",
    "mapsto.report",
    "mapsto.doctor",
    "mapsto.look",
    "mapsto.generation",
    "mapsto.steps.finish",
    "mapsto.measure.baseline",
    "mapsto.measure.ood",
    "mapsto.measure.calibration",
    "mapsto.commands.report",
    "mapsto.learners.chat",
    "mapsto.models.gpt",
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """{"lines": {module: lines}, "packages": names} at the first step of a table's training without linear models beside it,
    which are solved before."""
    folder = tmp_path_factory.mktemp("closure")
    draw = random.Random(0)
    rows = [(draw.random(), draw.choice("xyz")) for _ in range(200)]
    cells = "".join(f"{a:.4f},{b},{'yes' if a > 0.5 else 'no'}\n" for a, b in rows)
    (folder / "cells.csv").write_text(f"a,b,label\n{cells}")
    path = os.pathsep.join(
        [str(Path(mapsto.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    subprocess.run(
        [sys.executable, "-c", TRAINING],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
    )
    return json.loads((folder / "found.json").read_text())


def test_a_training_imports_little_before_its_first_step(found: dict[str, Any]) -> None:
    lines = found["lines"]
    longest = sorted(lines, key=lambda name: -lines[name])[:15]
    print(f"\n{len(lines)} modules, {sum(lines.values()):,} lines, besides torch {found['packages']}")
    print("\n".join(f"{lines[name]:6,} {name}" for name in longest))
    assert len(lines) <= MODULES
    assert sum(lines.values()) <= LINES
    assert len(found["packages"]) + 1 <= PACKAGES, found["packages"]


def test_what_comes_after_the_training_is_not_imported_before(found: dict[str, Any]) -> None:
    early = [
        name for name in found["lines"] if name in LATER or name.startswith(tuple(f"{one}." for one in LATER))
    ]
    assert not early


def test_a_training_imports_no_compiler_and_no_library_for_what_comes_after(found: dict[str, Any]) -> None:
    """torch._dynamo alone is 1,200 modules and 1.4 s of a processor (`mapsto.training.eager`)."""
    assert not set(found["all"]) & set(NEVER)
