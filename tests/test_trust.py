"""Own files: what a run's record names is executed only where a person names it again, unchanged."""

from __future__ import annotations

import copy
import json
import py_compile
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from test_seams import TOGETHER, TWINS

import mapsto
from mapsto import registry
from mapsto.cli import main
from mapsto.errors import ConfigError, RunError
from mapsto.registry.trust import PREFIX

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = ("--steps", "3", "--threads", "1", "--precision", "float32")
EVIL = "open({marker!r}, 'w').close()\nfrom mapsto.models.mlp import *\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A table and a finished run that was made with no own file. Without reports: they are not what is looked at here."""
    folder = tmp_path_factory.mktemp("trust")
    (folder / "t.csv").write_text("a,b,y\n" + "".join(f"{i % 7},{i % 5},{'pq'[i % 2]}\n" for i in range(60)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapsto.report.reporting.written", lambda *words: "")
        assert main(["train", str(folder / "t.csv"), "a, b -> y", "--model", "mlp(width=8,nets=1)", "--out", str(folder), "--name", "plain", *OPTIONS]) == 0
        next(folder.glob("*-plain")).rename(folder / "plain")
        yield folder


@pytest.fixture(scope="module")
def own(place: Path) -> Path:
    """A run made with two own files, which lie elsewhere since: as on another machine."""
    (place / "twins.py").write_text(TWINS)
    (place / "together.py").write_text(TOGETHER)
    files = ["--model", f"{place / 'twins.py'}(width=24)", "--learner", str(place / "together.py")]
    assert main(["train", str(place / "t.csv"), "a, b -> y", *files, "--out", str(place), "--name", "own", *OPTIONS]) == 0
    next(place.glob("*-own")).rename(place / "own")
    return place / "own"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process, which trusts no file yet."""
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        monkeypatch.delitem(sys.modules, name)


def model(record: dict[str, Any], file: str) -> None:
    record["choice"]["model"] = file


def learner(record: dict[str, Any], file: str) -> None:
    record["choice"]["learner"] = file


def type_left(record: dict[str, Any], file: str) -> None:
    record["signature"]["inputs"][0]["type"] = file


def type_right(record: dict[str, Any], file: str) -> None:
    record["signature"]["outputs"][0]["type"] = file


def asked_model(record: dict[str, Any], file: str) -> None:
    record["settings"]["model"] = f"{file}(width=8)"
    del record["choice"]


def started(record: dict[str, Any], file: str) -> None:
    record["start"] = {"run": "x", "signature": copy.deepcopy(record["signature"]), "types": record["types"], "model": file, "model_options": {}}


def fingerprinted(record: dict[str, Any], file: str) -> None:
    """The attacker records a fingerprint, too."""
    record["choice"]["model"], record["code"] = file, {file: "0" * 64}


PLACES = (model, learner, type_left, type_right, asked_model, started, fingerprinted)
COMMANDS: dict[str, Callable[[str, str, str], list[str]]] = {
    "predict": lambda run, plain, table: [run, table],
    "predict --lm": lambda run, plain, table: [plain, table, "--lm", run],
    "evaluate": lambda run, plain, table: [run, table],
    "embed": lambda run, plain, table: [run, table],
    "assess": lambda run, plain, table: [run, "all"],
    "doctor": lambda run, plain, table: [run],
    "profile": lambda run, plain, table: [run],
    "report": lambda run, plain, table: [run],
    "compare": lambda run, plain, table: [plain, run],
    "resume": lambda run, plain, table: [run],
    "extend": lambda run, plain, table: [run, "--steps", "2"],
    "reproduce": lambda run, plain, table: [run],
    "sample": lambda run, plain, table: [run],
    "score": lambda run, plain, table: [run, "--text", "a"],
    "chat": lambda run, plain, table: [run],
    "serve": lambda run, plain, table: [run, "--port", "0"],
    "stream": lambda run, plain, table: [run, table, f"{run}-answers.jsonl"],
    "export": lambda run, plain, table: [run],
    "train --from": lambda run, plain, table: [table, "a, b -> y", "--from", run, "--out", f"{run}-runs"],
}


def test_every_command_that_opens_a_run_is_here() -> None:
    rest = {"cache", "call", "check", "look", "plan", "runs"}
    assert {name.split()[0] for name in COMMANDS} | rest == {*registry.names("commands"), "train"}


@pytest.mark.parametrize("where", PLACES, ids=lambda where: where.__name__)
def test_a_record_executes_nothing(
    where: Callable[[dict[str, Any], str], None], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker, file, run = tmp_path / "marker", tmp_path / "evil.py", tmp_path / "runs" / "run"
    file.write_text(EVIL.format(marker=str(marker)))
    shutil.copytree(place / "plain", run)
    record = json.loads((run / "run.json").read_text())
    where(record, str(file))
    (run / "run.json").write_text(json.dumps(record))
    capsys.readouterr()
    for name, words in COMMANDS.items():
        code = main([name.split()[0], *words(str(run), str(place / "plain"), str(place / "t.csv"))])
        said = capsys.readouterr().err
        assert code == 2 and len(said.splitlines()) <= 3 and "--trust" in said and "evil.py" in said, (name, said)
        assert not marker.exists(), name
    assert main(["runs", str(run.parent)]) == 0 and not marker.exists()
    with pytest.raises(RunError, match="never executes"):
        mapsto.load(run)


def test_the_registry_executes_no_path(tmp_path: Path) -> None:
    """Whatever asks it: what stands before it may be forgotten."""
    marker = tmp_path / "marker"
    (tmp_path / "evil.py").write_text(EVIL.format(marker=str(marker)))
    for name in ("evil.py", "evil", "./evil.py"):
        for column_type in ("models", "learners", "types", "assess"):
            with pytest.raises((RunError, ConfigError)):
                registry.module(column_type, str(tmp_path / name))
    assert not marker.exists()


def test_names_that_are_no_paths(tmp_path: Path, place: Path) -> None:
    for name in ("\0.py", "\ud800.py", "a\nb\nc\nd.py", "x" * 5000 + ".py"):
        run = tmp_path / "run"
        shutil.copytree(place / "plain", run, dirs_exist_ok=True)
        record = json.loads((run / "run.json").read_text())
        model(record, name)
        (run / "run.json").write_text(json.dumps(record))
        with pytest.raises(RunError) as problem:
            mapsto.load(run)
        assert len(str(problem.value).splitlines()) == 3


def test_a_run_of_own_files_opens_where_they_are_named(own: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, record = str(place / "t.csv"), json.loads((own / "run.json").read_text())
    assert {Path(name).name: len(digest) for name, digest in record["code"].items()} == {"twins.py": 64, "together.py": 64}
    for name in ("twins.py", "together.py"):
        shutil.copy(place / name, tmp_path / f"a_copy_of_{name}")
    copies = ["--trust", str(tmp_path / "a_copy_of_twins.py"), "--trust", str(tmp_path / "a_copy_of_together.py")]
    forget(monkeypatch)
    assert main(["predict", str(own), table]) == 2
    assert main(["predict", str(own), table, *copies[:2]]) == 2  # both are needed
    assert main(["predict", str(own), table, *copies]) == 0
    forget(monkeypatch)
    assert mapsto.load(own, trust=copies[1::2]).predict({"a": 1, "b": 2}).predictions["y"].value in ("p", "q")
    forget(monkeypatch)
    again = ["--learner", str(place / "together.py"), "--out", str(tmp_path), "--name", "again", *OPTIONS]
    assert main(["train", table, "a, b -> y", "--from", str(own), *again]) == 2
    assert main(["train", table, "a, b -> y", "--from", str(own), "--trust", str(place / "twins.py"), *again]) == 0
    record = json.loads(next(tmp_path.glob("*-again/run.json")).read_text())
    assert {Path(name).name for name in record["code"]} == {"twins.py", "together.py"}


def test_a_changed_file_is_refused_unread(
    own: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forget(monkeypatch)
    marker = tmp_path / "marker"
    (tmp_path / "twins.py").write_text(TWINS + EVIL.format(marker=str(marker)))
    code = main(["predict", str(own), str(place / "t.csv"), "--trust", str(tmp_path / "twins.py"), "--trust", str(place / "together.py")])
    said, record = capsys.readouterr().err, json.loads((own / "run.json").read_text())
    assert code == 2 and len(said.splitlines()) == 3 and record["code"][str(place / "twins.py")][:12] in said and said.count("sha256") == 2
    assert not marker.exists()


def test_a_compiled_copy_beside_the_file_is_not_read(own: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A __pycache__ that came with the file would be taken for it, were its time and size right: it is not what was hashed."""
    forget(monkeypatch)
    file, marker = tmp_path / "twins.py", tmp_path / "marker"
    file.write_text(EVIL.format(marker=str(marker)))
    compiled = Path(py_compile.compile(str(file), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH))
    assert compiled.is_file()
    file.write_text(TWINS)
    mapsto.load(own, trust=[file, place / "together.py"]).predict({"a": 1, "b": 2})
    assert not marker.exists()


def test_several_processes_trust_what_their_parent_does(own: Path, place: Path, tmp_path: Path) -> None:
    files = ["--model", f"{place / 'twins.py'}(width=24)", "--learner", str(place / "together.py"), "--devices", "2"]
    assert main(["train", str(place / "t.csv"), "a, b -> y", *files, "--out", str(tmp_path), *OPTIONS]) == 0


def test_a_file_that_is_not_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(place / "plain"), "--trust", "none.py"]) == 2
    assert "no file 'none.py' for --trust" in capsys.readouterr().err

# --- packages that are at fault ---------------------------------------------------------------------------------------------------


def test_a_package_cannot_take_a_name_of_mapstos_own(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("supervised", "my_package.supervised", "mapsto.learners")
    monkeypatch.setattr(registry, "_outside", lambda room: (point,) if room == "learners" else ())

    with pytest.raises(ConfigError, match="brings a learner 'supervised', which mapsto has itself"):
        registry.module("learners", "supervised")


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("def read(self, cell: Any -> str:\n    ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("colour", "broken_package", "mapsto.types")
    monkeypatch.setattr(registry, "_outside", lambda room: (point,) if room == "types" else ())

    with pytest.raises(ConfigError, match=r"(?s)broken_package.*SyntaxError.*broken_package.py:1\).*uninstall"):
        registry.module("types", "colour")


def test_an_own_file_with_a_mistake_says_where(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("from mapsto.learners.base import Lerner\n")
    registry.trust.trust(tmp_path / "bad.py")

    with pytest.raises(ConfigError, match=r"(?s)bad.py: cannot be used, ImportError.*bad.py:1"):
        registry.module("learners", str(tmp_path / "bad.py"))


def test_a_run_says_which_package_it_needs(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(place / "plain", run)
    record = json.loads((run / "run.json").read_text())
    record["signature"]["inputs"][0]["type"] = "colour"
    (run / "run.json").write_text(json.dumps(record))

    with pytest.raises(RunError, match=r"(?s)made with the type 'colour', which is not installed.*Install"):
        mapsto.load(run).predict({"a": 1, "b": 2})
