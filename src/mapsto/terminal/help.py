"""What `--help` shows: how a command is written, examples, and the options that most people need;
`--help-all` shows every option, and what there is to name.

Nothing is imported to list models, learners and metrics: their files are read.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import textwrap
from collections.abc import Sequence

from mapsto.registry import HERE, names

MANY = 12  # options, above which a command shows some of them
NAMED = 30  # columns of an option's name, at most, before its help
SENTENCE = re.compile(r"(?<!et al)\. (?=[A-Z])")  # between two
METRIC = re.compile(r"[a-z][a-z0-9_]+")
LISTED = (("models", "--model"), ("learners", "--learner"))

Examples = Sequence[tuple[str, str]]  # (command line, what it does)


def short_help(command: argparse.ArgumentParser, head: str, common: Sequence[str], examples: Examples) -> str:
    """How it is written, examples, its words, the common options; of a command without such, all."""
    places = [action for action in command._actions if not action.option_strings]
    flags = [action for action in command._actions if action.option_strings]
    shown = [one for name in common for one in flags if name in one.option_strings] or flags
    rest = [one for one in flags if {"-h", "--help-all"} & {*one.option_strings}] if common else []
    left = len(flags) - len(shown) - len(rest)
    parts: list[tuple[str, list[tuple[str, str]]]] = [
        (head, []),
        *_examples(examples),
        ("what it takes", list(map(_line, places))),
    ]
    parts.append(("options", list(map(_line, shown))))
    if rest:
        parts.append((f"and {left} more", list(map(_line, rest))))
    return _laid_out(parts)


def full_help(command: argparse.ArgumentParser, head: str, examples: Examples) -> str:
    """Every option in its group, then what can be named."""
    parts: list[tuple[str, list[tuple[str, str]]]] = [(head, []), *_examples(examples)]
    titles = {"positional arguments": "what it takes", "options": "options"}
    for group in command._action_groups:
        lines = [_line(action) for action in group._group_actions if action.help != argparse.SUPPRESS]
        parts.append((titles.get(group.title or "", group.title or ""), lines))
    flags = {flag for action in command._actions for flag in action.option_strings}
    for room, flag in LISTED:
        if flag in flags:
            parts.append((f"{room} ({flag})", [(name, _sentence(room, name)) for name in names(room)]))
    if "--metric" in flags:
        parts.append(("metrics (--metric)", [("", ", ".join(metrics()))]))
    return _laid_out(parts)


def _examples(examples: Examples) -> list[tuple[str, list[tuple[str, str]]]]:
    return [("examples", list(examples))] if examples else []


def _name(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())


def _line(action: argparse.Action) -> tuple[str, str]:
    """An option with what follows it, and its help with its default."""
    said = (action.help or "").replace("%%", "%")
    if not action.option_strings:
        return _name(action), said
    flags = ", ".join(action.option_strings)
    return (flags if action.nargs == 0 else f"{flags} {_name(action)}"), said


def _laid_out(parts: Sequence[tuple[str, list[tuple[str, str]]]]) -> str:
    """Titles with their lines of two columns below, as wide as the terminal, at most 110."""
    width = min(110, shutil.get_terminal_size().columns)
    wrap = textwrap.TextWrapper(width, break_on_hyphens=False, break_long_words=False)
    blocks = []
    for title, lines in parts:
        known = [len(name) for name, _ in lines if len(name) <= NAMED or title == "examples"]
        wrap.subsequent_indent = " " * (2 + max(known, default=0) + 2 * any(known))
        found = [f"{title}:"] if lines else [title]
        for name, said in lines:
            room = len(wrap.subsequent_indent) - 2
            if title == "examples":
                found.append(f"  {name.ljust(room)}{said}".rstrip())
                continue
            if len(name) > room - 2 and name:
                found.append(f"  {name}")
                name = ""
            wrap.initial_indent = f"  {name.ljust(room)}"
            found += wrap.wrap(said) or [f"  {name}"]
        blocks.append("\n".join(found))
    return "\n\n".join(blocks) + "\n"


def _sentence(room: str, name: str) -> str:
    """What a file of a folder says first; "" of one that an outside package brings."""
    for path in (HERE / room / f"{name}.py", HERE / room / name / "__init__.py"):
        if path.is_file():
            said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            return SENTENCE.split(" ".join(said.split("\n\n")[0].split()))[0].rstrip(".")
    return ""


def metrics() -> list[str]:
    """The names of all metrics, as the files of `metrics`, `outputs` and `types` write them: a call with a
    name and a sentence, where metrics are made."""
    found = set()
    for path in [path for room in ("metrics", "outputs", "types") for path in (HERE / room).rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        calls = ast.walk(ast.parse(text)) if "Metric(" in text else ()
        for call in calls:
            if isinstance(call, ast.Call) and any(map(_is_sentence, call.args)):
                texts = [one.value for one in call.args[:2] if isinstance(one, ast.Constant)]
                found |= {one for one in texts if isinstance(one, str) and METRIC.fullmatch(one)}
    return sorted(found)


def _is_sentence(argument: ast.expr) -> bool:
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
    return any(isinstance(one, str) and one[:1].isupper() and " " in one for one in texts)
