"""`--help` fits a screen, `--help-all` tells everything, and neither imports what a training needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mapsto.cli import main, parser
from mapsto.registry import names
from mapsto.terminal.help import MANY, metrics


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def flags_of(name: str) -> set[str]:
    return {flag for action in parser()[1][name]._actions for flag in action.option_strings if flag.startswith("--")}


LARGE = [name for name in parser()[1] if len(flags_of(name)) > MANY]


@pytest.mark.parametrize("name", LARGE)
def test_a_large_command_shows_what_most_people_need_and_all_on_request(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    short, full = said(capsys, name, "--help"), said(capsys, name, "--help-all")
    shown = {flag for flag in flags_of(name) if f"  {flag}" in short}
    assert len(shown) <= MANY + 2 and len(short.splitlines()) <= 40
    assert short.startswith(f"usage: mapsto {name} ") and short.count(f"  mapsto {name} ") == 3
    assert max(map(len, short.splitlines())) <= 110
    assert all(f"{flag} " in full or f"{flag}\n" in full for flag in flags_of(name))


def test_the_commands_that_show_a_part_are_these() -> None:
    assert LARGE == ["train", "check", "look", "plan", "predict", "serve", "stream"]


@pytest.mark.parametrize("name", [name for name in parser()[1] if name not in LARGE])
def test_a_small_command_shows_everything(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    short = said(capsys, name, "-h")
    assert all(flag in short for flag in flags_of(name))


def test_all_that_can_be_named_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    full = said(capsys, "train", "--help-all")
    assert all(f"\n  {name} " in full for name in [*names("models"), *names("learners")])
    assert {"accuracy", "auc", "bleu", "rougel", "mae", "word_error_rate"} <= set(metrics())
    assert "[runs]" in full and "[0.05]" in full and "--optimizer adamw|sgd|muon" in full


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from mapsto.cli import main; main(['train', '--help-all']); assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
