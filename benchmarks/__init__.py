"""Ours against peers, side by side in turn. `python -m benchmarks --help`."""
