"""What a person reads while mapsto works: lines below few headings, warnings that look like some, one table at the end."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest

from mapsto.terminal import printer
from mapsto.terminal.colour import coloured, painted
from mapsto.terminal.printers import PlainPrinter
from mapsto.terminal.results import table

DECIDED = {
    "event": "decided", "signature": "a -> y:category", "rows": {"train": 6, "validation": 2, "test": 2}, "total": 10,
    "classes": {"y": 2}, "choice": "mlp, supervised", "reasons": ["a table"], "best": ("y", "log_loss"),
    "said": ["left out: b", "adamw"], "reading": ["left out: b"], "unreadable": 1,
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def score(value: float, n: int = 50) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def done(**more: Any) -> dict[str, Any]:
    test = {"y": {"accuracy": score(0.8), "log_loss": score(0.5)}}
    baselines = {"y": {"majority": {"accuracy": score(0.6), "log_loss": score(0.7)}, "linear": {"accuracy": score(0.9), "log_loss": score(0.6)}}}
    higher = {"y": {"accuracy": True, "log_loss": False}}
    return {"test": test, "baselines": baselines, "higher_is_better": higher, **more}


def test_lines_before_the_first_step_stand_under_few_headings() -> None:
    tell = PlainPrinter()
    events = [
        {"event": "said", "text": "t.csv: utf-8"},
        {"event": "finding", "what": "twins", "effect": "counted twice", "fix": "--group id"},
        DECIDED,
        {"event": "plan", "text": "float32, cpu"},
        {"event": "forecast", "seconds": 3, "memory": 1e6, "disk": 1e6},
    ]
    lines = [line for event in events for line in tell.lines(event)]
    assert [line for line in lines if not line.startswith("  ")] == ["data", "reading", "model", "plan"]
    assert lines[1:5] == ["  t.csv: utf-8", "  warning: twins: counted twice (--group id)", "  10 rows (6 train, 2 validation, 2 test), 2 classes",
                          "  warning: 1 row could not be read: see quarantine.csv"]  # fmt: skip
    assert lines.index("  left out: b") < lines.index("model") < lines.index("  adamw")


def test_the_best_so_far_is_named_where_it_is_another() -> None:
    tell = PlainPrinter()
    told = []
    for step, (value, best) in enumerate([(0.5, True), (0.7, False), (0.4, True)]):
        tell({"event": "evaluate", "metric": ("y", "log_loss"), "scores": {"y": {"log_loss": value}}, "best": best})
        tell._next = 0.0
        told += tell.lines({"event": "step", "step": step, "total": 9, "loss": 1.0, "rows_per_second": 5, "seconds_left": 1})
    assert [re.findall(r"validation log_loss (.*?)  5 rows", line)[0] for line in told] == ["0.5000", "0.7000 (best 0.5000)", "0.4000"]


def test_the_net_stands_in_one_table_with_what_is_simple() -> None:
    lines = table(done())
    assert [line.split()[0] for line in lines[1:]] == ["linear", "net", "95%", "majority"]
    assert "0.9000*" in lines[1] and "0.5000*" in lines[2] and "".join(lines).count("*") == 2
    assert lines[0].startswith("y (50 test rows)") and len({len(line.rstrip("* ")) for line in (lines[0], lines[2])}) == 1
    assert not any("*" in line for line in table(done(baselines={})))
    wide = {"y": {f"a_metric_of_this_name_{i}": score(0.1) for i in range(12)}}
    assert max(map(len, table(done(test=wide)))) <= 110
    assert table({"test": {}, "baselines": {}}) == ["no test rows: nothing was held back to measure on"]


def test_parts_and_counts_have_lines_of_their_own() -> None:
    parts = {"before": {"y": {"accuracy": score(0.7, 30)}}}
    lines = table(done(parts=parts, test={"y": {"accuracy": score(0.8), "log_loss": score(0.5, 40)}}))
    assert any(re.match(r"    rows before +0.7000 \(30\)$", line) for line in lines)
    assert lines[-1].split() == ["rows", "50", "40"] and lines[0].startswith("y (test rows)")


def test_a_report_that_takes_long_tells_how_far_it_is() -> None:
    tell = PlainPrinter()
    assert tell.lines({"event": "question", "number": 0, "total": 9}) == []
    assert tell.lines({"event": "question", "number": 1, "total": 9}) == []
    tell._since -= 3
    assert tell.lines({"event": "question", "number": 2, "total": 9}) == ["  2 of 9 questions are answered"]


def test_only_a_terminal_is_coloured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured(Terminal()) and not coloured(io.StringIO())
    assert painted("  warning: twins") == "  \x1b[1;33mwarning:\x1b[0m twins" and painted("  a: b") == "  a: b"
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    printer()({"event": "said", "text": "t.csv \x1b[31m"})
    assert screen.getvalue() == "\x1b[1mdata\x1b[0m\n  t.csv \\x1b[31m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    printer()(DECIDED)
    assert screen.getvalue().count("\x1b") == 2
    printer(as_json=True)({"event": "said", "text": "x"})
    assert screen.getvalue().endswith('{"event": "said", "text": "x"}\n')
