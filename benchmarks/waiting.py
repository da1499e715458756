"""How long a step of small nets takes by two threads, by how long threads look out for each other before they
sleep (GOMP_SPINCOUNT), beside so many busy neighbours.

    python -m benchmarks.waiting [--neighbours 2] [--rounds 3]

Prints the mean milliseconds of a step, every round's, in turn.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import defaultdict

LOOKS = ("300000", "100000", "30000", "10000", "1000")  # the first is GNU OpenMP's default
STEPS = """
import time, torch
from torch import nn
torch.manual_seed(0), torch.set_num_threads(2)
cells = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
pictures = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1))
cases = ("cells", cells, torch.randn(256, 256)), ("pictures", pictures, torch.randn(32, 3, 32, 32))
for name, net, rows in cases:
    for _ in range(3):
        net(rows).sum().backward()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() < start + 2:
        net(rows).sum().backward()
        steps += 1
    print(name, 1e3 * (time.perf_counter() - start) / steps)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neighbours", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    busy = [sys.executable, "-c", "while True: pass"]
    neighbours = [subprocess.Popen(busy) for _ in range(asked.neighbours)]
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    try:
        for _ in range(asked.rounds):
            for looks in LOOKS:
                around = {**os.environ, "GOMP_SPINCOUNT": looks}
                command = [sys.executable, "-c", STEPS]
                done = subprocess.run(command, env=around, capture_output=True, text=True, check=True)
                for line in done.stdout.splitlines():
                    name, took = line.split()
                    found[name, looks].append(f"{float(took):.1f}")
    finally:
        for neighbour in neighbours:
            neighbour.kill()
    for (name, looks), took in found.items():
        print(f"{name:<10}{looks:>8} looks  {'  '.join(took)} ms a step")


if __name__ == "__main__":
    main()
