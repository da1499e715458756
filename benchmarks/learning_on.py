"""A stream whose labels turn: does a run that learns on notice it, recover, and keep what it knew?

    python -m benchmarks.learning_on [--events 10000] [--out FOLDER]

Two streams, each a table of 2,000 rows that a net learns and then events with their right answers, whose
labels turn in the middle: `everywhere`, which contradicts the rows the net was trained on, and `elsewhere`,
only for events of a kind that no training row has. Each with what may be forgotten, 0.01 and 1. Printed:
accuracy of every 500 events before each was learned, with learning and without; and what was lost on
its test rows.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import mapsto
from mapsto.cli import main as command
from mapsto.run import Run

SIGNATURE = "x, z, shop, region -> sign:category"


Row = dict[str, object]


def row(i: int, draw: random.Random, region: tuple[float, float], turned: bool) -> Row:
    x, z, shop = draw.gauss(0, 1), draw.gauss(0, 1), draw.choice("abc")
    up = ((x if shop == "a" else -x) + 0.3 * z > 0) != turned
    cells = {"x": round(x, 4), "z": round(z, 4), "shop": shop, "region": round(draw.uniform(*region), 4)}
    return {"id": f"e{i}", **cells, "sign": "up" if up else "down"}


def written(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def measure(folder: Path, events: int) -> None:
    draw, half = random.Random(0), events // 2
    table = written(folder / "rows.jsonl", [row(i, draw, (0, 1), False) for i in range(2_000)])
    options: dict[str, Any] = {"learner": "supervised", "steps": 400, "emit": lambda event: None}
    made = mapsto.train(str(table), SIGNATURE, out=folder, **options)
    for name, region in (("everywhere", (0.0, 1.0)), ("elsewhere", (1.5, 2.5))):
        before = [row(i, draw, (0, 1), False) for i in range(half)]
        after = [row(i, draw, region, True) for i in range(half, events)]
        path = written(folder / f"{name}.jsonl", before + after)
        for most in ("0.01", "1"):
            out = folder / f"{name}-{most}"
            words = ["stream", str(made.path), str(path), f"{out}.jsonl", "--key", "id", "--out", str(out)]
            assert command([*words, "--learn", "events", "--most-forget", most]) == 0
            tell(f"{name}, --most-forget {most}", Run.open(out).record["stream"])


def tell(what: str, said: dict[str, Any]) -> None:
    looks = f"beyond at {said['refused']} of {said['looks']} looks, taken back {said['taken_back']}"
    print(f"\n{what}: lost {said['forgot']['sign']:.4f}; {said['changes']} changes, {looks}")
    print("events  learning  without")
    for point in said["answered"]["sign"]["curve"]:
        print(f"{point['rows']:6,}  {point['now']:8.3f}  {point['before']:7.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = asked.out or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        measure(place, asked.events)


if __name__ == "__main__":
    main()
