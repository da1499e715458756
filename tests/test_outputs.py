"""Kinds of answers: one contract for every file of `outputs/`, and nobody knows one by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mapsto
from mapsto import registry
from mapsto.batch import Padded
from mapsto.outputs.base import Output
from mapsto.testing import check_output, check_type
from mapsto.types.category import Category

pytestmark = pytest.mark.usefixtures("one_thread")
TALK = [{"role": "user", "content": "how are you"}, {"role": "assistant", "content": "well, thank you"}]
PAIR = {"prompt": "how are you", "chosen": "well, thank you", "rejected": "go away"}
TEXTS = ["the cat sat on the mat", None, "a dog", "red and green and blue", "aa"]


@dataclass(frozen=True)
class Case:
    """A kind of answer on a column of cells of a type that can be it."""

    kind: str
    type: str
    cells: list[Any]
    recorded: str = ""  # how runs call it, where that differs

    def __str__(self) -> str:
        return f"{self.kind} of {self.type}"


CASES = [
    Case("classes", "category", ["b", "a", None, "c", "b"]),
    Case("classes", "category", ["only", "only"]),
    Case("labels", "categories", [["x", "y"], [], None, ["z"]]),
    Case("labels", "categories", [{"p": 1, "q": None}, {"p": 0, "q": 1}]),
    Case("regression", "number", [1, 2.5, None, 7]),
    Case("regression", "number", ["2011-01-01", "2012-05-06", None]),
    Case("tokens", "text", TEXTS),
    Case("sequence", "text", TEXTS),
    Case("ctc", "text", TEXTS),
    Case("chat", "messages", [TALK, None, [*TALK, *TALK]]),
    Case("margin", "preference", [PAIR, None], "chat"),
    Case("tags", "tags", [["O", "B-person", "I-person"], None, ["B-place", "O"]]),
    Case("tags", "tags", [["NOUN", "VERB"], ["NOUN"]]),
    Case("span", "span", [{"text": "cat", "answer_start": 4}, None, "mat"]),
]


def output_of(case: Case) -> Output:
    recorded = case.recorded or case.kind
    fitted = check_type(registry.entry("types", case.type), case.cells, "output", kind=recorded)
    return fitted.output(recorded)


def words(target: Padded) -> Padded:
    """As many as there are tags."""
    return Padded(torch.randn(len(target.values), max(1, target.values.shape[1]), 16), target.lengths)


def frames(target: Padded) -> Padded:
    """Twice as many as a text has letters, so that any can be heard in them."""
    steps = 2 * max(1, target.values.shape[1])
    return Padded(torch.randn(len(target.values), steps, 16), torch.full((len(target.values),), steps))


HIDDEN = {"ctc": frames, "tags": words}  # of nets that give no plain tensor


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kind_of_answer_keeps_its_contract(case: Case) -> None:
    """No rows, all missing, one class, a perfect and a constant prediction, calibration, decoding, questions."""
    output = output_of(case)
    assert type(output) is registry.entry("outputs", case.kind)
    check_output(output, case.cells, HIDDEN.get(case.kind))


def test_every_file_of_the_folder_is_held_to_it() -> None:
    assert {case.kind for case in CASES} == set(registry.names("outputs"))


def test_every_kind_that_a_type_names_is_a_file() -> None:
    named = {kind for name in registry.names("types") for kind in registry.entry("types", name).outputs}
    assert named <= set(registry.names("outputs"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_calibration_that_found_nothing_changes_nothing(case: Case) -> None:
    predicted = {"value": np.array([0, 1]), "probability": np.array([[0.9, 0.1], [0.2, 0.8]])}
    assert output_of(case).calibrated(predicted, {}).keys() == predicted.keys()


def test_a_broken_contract_is_said() -> None:
    class Silent(registry.entry("outputs", "classes")):  # type: ignore[misc]
        metrics = ()

    with pytest.raises(AssertionError, match="an answer is measured"):
        check_output(Silent(Category().fit(["a", "b"], {"side": "output"})), ["a", "b"])


# --- nothing knows a kind of answer, or a type, by name ---------------------------------------------------------------------------

SOURCE = Path(mapsto.__file__).parent
KINDS, TYPES = set(registry.names("outputs")) | {"margin"}, set(registry.names("types"))
OWN = ("outputs", "types", "recipes")  # their own files, the types' declarations, and the table of defaults
# What still knows one: rooms that read data are about to be divided by format.
ALLOWED = {"data": "which files and columns are of which type", "commands/chat.py": "messages are what it sends"}
NOT_NAMES = ("expects", "gives", "used_by")  # what a comparison may be about: "tokens" is a shape too, "chat" a command


def files() -> Iterator[Path]:
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE)
        if place.parts[0] not in (*OWN, *ALLOWED) and str(place) not in ALLOWED:
            yield path


def class_of(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def strings(*nodes: ast.AST) -> set[str]:
    """Those that stand there themselves, or in a tuple, list or set that does."""
    parts = [part for node in nodes for part in (node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node])]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def known_names(tree: ast.Module) -> Iterator[str]:
    """What a file knows of kinds and types by name: names compared with, tables keyed by them, their classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            attributes = {one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in ast.walk(node)}
            if not attributes & set(NOT_NAMES):
                yield from (f"compares with '{name}'" for name in strings(node.left, *node.comparators) & (KINDS | TYPES))
        elif isinstance(node, ast.Dict):
            keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
            if len(keys) > 1 and keys <= KINDS | TYPES:
                yield f"has a table keyed by {', '.join(map(repr, sorted(keys)))}"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("entry", "module", "outputs"):
            if isinstance(node.args[-1] if node.args else None, ast.Constant):
                yield from (f"asks for '{name}'" for name in strings(node.args[-1]) & (KINDS | TYPES))
        elif isinstance(node, ast.ImportFrom) and node.module:
            folder, _, name = node.module.removeprefix("mapsto.").partition(".")
            entries = {"types": TYPES, "outputs": KINDS}.get(folder, set())
            if name in entries:
                yield from (f"imports {one.name}" for one in node.names if one.name == class_of(name) or folder == "outputs")


def test_nothing_knows_a_kind_of_answer_or_a_type_by_name() -> None:
    found = [f"{path.relative_to(SOURCE)}: {what}" for path in files() for what in known_names(ast.parse(path.read_text(encoding="utf-8")))]
    assert not found, "ask what it can do (`mapsto.outputs.base.Output`, `mapsto.types.base.DataType`):\n" + "\n".join(found)
