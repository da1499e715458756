"""Ten times the rows: what a row costs, and what the whole takes of memory. `python -m benchmarks.scale
[table pictures photos texts]`

Each kind of data is made by this script at two sizes; `mapsto train … --steps 50` learns each in a process
and a cache of its own. Time is the processor's, so that other programs disturb little; memory is the highest
anonymous resident size (Linux: RssAnon), which leaves out what lies in files anyway. Bars: time a row at most
1.05 times, memory at most 1.2 times that of a tenth of the rows.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image

STEPS, EVERY = 50, 0.02  # updates; seconds between looks at a process's memory


def table(place: Path, rows: int) -> tuple[Path, str]:
    """Ten columns of numbers and three of words, as csv."""
    draw = np.random.default_rng(0)
    numbers, words = (
        draw.normal(size=(rows, 10)).round(4),
        draw.choice(["north", "south", "east", "west"], (rows, 3)),
    )
    answers = np.where(numbers[:, 0] + numbers[:, 1] > 0, "yes", "no")
    lines = [
        ",".join([*map(str, n), *w, a])
        for n, w, a in zip(numbers.tolist(), words.tolist(), answers.tolist(), strict=True)
    ]
    path = place / "table.csv"
    path.write_text(
        "\n".join([",".join([*(f"n{i}" for i in range(10)), "a", "b", "c", "answer"]), *lines]) + "\n"
    )
    return path, "* -> answer"


def pictures(place: Path, rows: int) -> tuple[Path, str]:
    """28×28 grey pictures in one npz."""
    found, labels = _drawn(rows, 28)
    np.savez(place / "pictures.npz", image=found[..., 0], label=labels)
    return place / "pictures.npz", "image -> label:category"


def photos(place: Path, rows: int) -> tuple[Path, str]:
    """64×64 JPEG files in a folder a class."""
    found, labels = _drawn(rows, 64)
    for i, (pixels, label) in enumerate(zip(found, labels, strict=True)):
        (place / "photos" / f"class{label}").mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(place / "photos" / f"class{label}" / f"{i}.jpg")
    return place / "photos", "image -> category"


def texts(place: Path, rows: int) -> tuple[Path, str]:
    """Texts of 10 to 80 words, as jsonl."""
    draw = np.random.default_rng(0)
    words = np.array(
        ["".join(draw.choice(list("abcdefghijklmnop"), int(draw.integers(2, 9)))) for _ in range(2000)]
    )
    with (place / "texts.jsonl").open("w") as file:
        for _ in range(rows):
            said = words[draw.integers(0, 2000, int(draw.integers(10, 80)))].tolist()
            file.write(
                json.dumps(
                    {"text": " ".join(said), "label": "long" if max(map(len, said[:5])) > 7 else "short"}
                )
                + "\n"
            )
    return place / "texts.jsonl", "text -> label"


def _drawn(rows: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, side, side, 3) bytes: bars across or down under noise, and which, (rows,)."""
    draw = np.random.default_rng(0)
    labels, phase, pace = draw.integers(0, 2, rows), draw.uniform(0, 6, rows), draw.uniform(0.8, 1.4, rows)
    wave = 128 + 60 * np.sin(pace[:, None] * np.arange(side) + phase[:, None])  # (rows, side)
    bars = np.where(labels[:, None, None] == 1, wave[:, :, None], wave[:, None, :])
    found = bars + draw.normal(0, 20, (rows, side, side))
    return np.repeat(found.clip(0, 255).astype(np.uint8)[..., None], 3, 3), labels


# Tenths that are large enough for samples of bounded size to be full
KINDS: dict[str, tuple[Callable[[Path, int], tuple[Path, str]], int]] = {
    "table": (table, 40_000),
    "pictures": (pictures, 4000),
    "photos": (photos, 1000),
    "texts": (texts, 2000),
}


def measured(make: Callable[[Path, int], tuple[Path, str]], rows: int) -> tuple[float, int]:
    """(processor seconds, bytes of anonymous memory at most) of one training in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        data, signature = make(place, rows)
        words = [
            sys.executable,
            "-m",
            "mapsto.cli",
            "train",
            str(data),
            signature,
            "--steps",
            str(STEPS),
            "--out",
            str(place / "runs"),
            "--json",
        ]
        before, most = resource.getrusage(resource.RUSAGE_CHILDREN), 0
        with (place / "said").open("w") as said:
            process = subprocess.Popen(
                words, stdout=said, stderr=said, env={**os.environ, "MAPSTO_CACHE": str(place / "cache")}
            )
            while process.poll() is None:
                most = max(most, _anonymous(process.pid))
                time.sleep(EVERY)
        if process.returncode:
            raise SystemExit(
                f"{' '.join(words)}\nended with {process.returncode}:\n{(place / 'said').read_text()[-2000:]}"
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, most


def _anonymous(process: int) -> int:
    """Bytes; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def main(names: list[str]) -> None:
    print(
        "| data | rows | processor s | ms a row | anonymous MB | time a row, × | memory, ×"
        " |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for name in names or list(KINDS):
        make, rows = KINDS[name]
        (few, little), (many, much) = measured(make, rows), measured(make, 10 * rows)
        print(f"| {name} | {rows:,} | {few:.1f} | {1e3 * few / rows:.2f} | {little / 1e6:.0f} | | |")
        ratios = f"{many / few / 10:.2f} | {much / little:.2f}"
        print(
            f"| {name} | {10 * rows:,} | {many:.1f} | {1e2 * many / rows:.2f} | {much / 1e6:.0f} |"
            f" {ratios} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
