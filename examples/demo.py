"""The demo: scikit-learn's bundled digits as a folder of images, and one command that learns them.

    python examples/demo.py [--write README.md]

Writes demo/digits/{train,test}/<digit>/*.png (1,797 pictures of 8 × 8 pixels, every fifth of each digit for
testing: 363), then runs `mapsto train demo/digits --minutes 0.6 --out demo/runs` and prints what it prints.
--write puts that output between a file's <!-- demo --> marks.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

COMMAND = "mapsto train demo/digits --minutes 0.6 --out demo/runs"
EVERY = 5  # each fifth picture of a digit is held back for testing


def write_digits(folder: Path) -> None:
    """One png a row, in a folder named after its class, below train/ or test/."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits, seen = load_digits(), Counter()
    for row, (pixels, digit) in enumerate(
        zip(digits.images, digits.target, strict=True)
    ):  # (8, 8) of 0 to 16
        place = folder / ("test" if seen[digit] % EVERY == 0 else "train") / str(digit)
        place.mkdir(parents=True, exist_ok=True)
        seen[digit] += 1
        Image.fromarray((pixels * 255 / 16).round().astype("uint8")).save(place / f"{row:04}.png")


def run(command: str) -> str:
    """Run a mapsto command as the shell would, showing its output while it comes. The output; exits when the
    command fails."""
    print(f"$ {command}", flush=True)
    words = [sys.executable, "-m", "mapsto.cli", *shlex.split(command)[1:]]
    lines = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(process.returncode)
    return "".join(lines)


def main(arguments: list[str]) -> None:
    if not Path("demo/digits/test/9").exists():
        write_digits(Path("demo/digits"))
    output = run(COMMAND)
    if arguments[:1] == ["--write"]:
        page = Path(arguments[1])
        block = f"<!-- demo -->\n```console\n$ {COMMAND}\n{output.rstrip()}\n```\n<!-- /demo -->"
        page.write_text(
            re.sub(
                r"<!-- demo -->.*<!-- /demo -->",
                lambda _: block,
                page.read_text(encoding="utf-8"),
                flags=re.DOTALL,
            ),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main(sys.argv[1:])
