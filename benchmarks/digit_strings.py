"""Strings of digits for speech recognition, joined from single spoken digits (Free Spoken Digit Dataset): 1
to 7 digits of one speaker, a tenth of a second of silence between them, and what is said: "7 3 0", or spelled
out "seven three zero". The strings of two speakers are the test.

    python benchmarks/digit_strings.py FSDD.zip OUT.zip [--strings 2000] [--test-strings 300] [--spelled]
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import soundfile

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT = ("theo", "yweweler")
GAP, MOST = 0.1, 7


def digits(archive: Path) -> tuple[dict[str, dict[int, list[np.ndarray]]], int]:
    """{speaker: {digit: samples of each recording}} and their rate."""
    found: dict[str, dict[int, list[np.ndarray]]] = {}
    with zipfile.ZipFile(archive) as files:
        table = csv.DictReader(io.StringIO(files.read("metadata.csv").decode()))
        for row in table:
            samples, rate = soundfile.read(io.BytesIO(files.read(row["file_name"])), dtype="int16")
            found.setdefault(row["speaker"], {}).setdefault(int(row["label"]), []).append(samples)
    return found, rate


def make(archive: Path, out: Path, strings: int, test: int, spelled: bool) -> None:
    """Write the zip: audio/*.flac and metadata.csv with file_name, text, speaker, split."""
    spoken, rate = digits(archive)
    draw = np.random.default_rng(0)
    silence = np.zeros(round(GAP * rate), np.int16)
    rows = []
    with zipfile.ZipFile(out, "w") as files:
        for split, count in (("train", strings), ("test", test)):
            speakers = sorted(name for name in spoken if (name in HELD_OUT) == (split == "test"))
            for number in range(count):
                speaker = speakers[number % len(speakers)]
                said = draw.integers(10, size=draw.integers(1, MOST + 1)).tolist()
                parts = [
                    part
                    for digit in said
                    for part in (spoken[speaker][digit][draw.integers(len(spoken[speaker][digit]))], silence)
                ]
                held = io.BytesIO()
                soundfile.write(held, np.concatenate(parts[:-1]), rate, format="FLAC")
                name = f"audio/{split}-{number:05d}.flac"
                files.writestr(name, held.getvalue())
                rows.append(
                    {
                        "file_name": name,
                        "text": " ".join(WORDS[d] if spelled else str(d) for d in said),
                        "speaker": speaker,
                        "split": split,
                    }
                )
        table = io.StringIO()
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        files.writestr("metadata.csv", table.getvalue())


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("archive", type=Path)
    asked.add_argument("out", type=Path)
    asked.add_argument("--strings", type=int, default=2000)
    asked.add_argument("--test-strings", type=int, default=300)
    asked.add_argument("--spelled", action="store_true", help="words in place of figures")
    given = asked.parse_args()
    make(given.archive, given.out, given.strings, given.test_strings, given.spelled)
