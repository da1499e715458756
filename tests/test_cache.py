"""The cache of encoded data: reused, bounded, and safe with several trainings at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mapsto.cli import main
from mapsto.commands.cache import size_of, size_text
from mapsto.config import Reading
from mapsto.data import cache
from mapsto.data.encode import code, encode_source
from mapsto.data.open import open_source
from mapsto.data.store import Store
from mapsto.errors import ConfigError
from mapsto.signature import Signature, Slot
from mapsto.types.number import Number

SIGNATURE = Signature((Slot("x", "number", {}, "x"),), (Slot("y", "number", {}, "y"),))
TYPES = {("input", "x"): Number().fit([0.0, 1.0], {}), ("output", "y"): Number().fit([0.0, 1.0], {"side": "output"})}

ENCODE = """
import sys, time
from mapsto.data.encode import encode_source
from mapsto.data.open import open_source
from mapsto.config import Reading
sys.path.insert(0, {here!r})
from test_cache import SIGNATURE, TYPES
source = open_source({table!r}, Reading())
print("ready", flush=True)
sys.stdin.readline()
print(encode_source(source, SIGNATURE, TYPES, 20000))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path / "cache"))
    return tmp_path


def encoded(name: str, rows: int = 1000, used: float = 0.0) -> Path:
    """A store of its own, last used so many seconds ago."""
    source = open_source([{"x": i, "y": float(len(name))} for i in range(rows)], Reading())
    source.name, source.fingerprint = name, name
    folder = encode_source(source, SIGNATURE, TYPES, rows)
    Store(folder, SIGNATURE, TYPES, np.zeros(rows, np.int8), None)
    os.utime(folder, (time.time() - used,) * 2)
    return folder


def names() -> list[str]:
    return [one.name for one in cache.kept()]


def test_two_processes_encode_the_same_data_at_once(place: Path) -> None:
    table = place / "table.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i * 0.5}\n" for i in range(20000)))
    program = ENCODE.format(here=str(Path(__file__).parent), table=str(table))
    both = [subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    folders = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0] and len(folders) == 1
    store = Store(Path(folders.pop()), SIGNATURE, TYPES, np.zeros(20000, np.int8), None)
    assert (store.raw(np.arange(20000))["output", "y"].numpy() == np.arange(20000) * 0.5).all()
    assert not list(cache.stores().glob("*.tmp"))


def test_what_was_used_longest_ago_goes_first(place: Path) -> None:
    for name, used in (("old", 9000.0), ("older", 9500.0), ("new", 0.0)):
        encoded(name, used=used)
    assert names() == ["older", "old", "new"]
    size = cache.kept()[0].bytes
    assert cache.shrink(code(), most=int(2.5 * size)) > 0
    assert names() == ["old", "new"]
    assert cache.shrink(code(), most=0) and names() == ["new"]  # used a moment ago, perhaps about to be opened


def test_other_versions_go_before(place: Path) -> None:
    encoded("mine", used=9000.0)
    folder = encoded("theirs", used=8000.0)
    (folder / "store.json").write_text((folder / "store.json").read_text().replace(code(), "another"))
    os.utime(folder, (time.time() - 8000,) * 2)
    cache.shrink(code(), most=int(1.5 * cache.kept()[0].bytes))
    assert names() == ["mine"]


def test_what_a_training_reads_stays(place: Path) -> None:
    folder = encoded("read", used=9000.0)
    store = Store(folder, SIGNATURE, TYPES, np.zeros(1000, np.int8), None)
    assert cache.in_use(folder)
    assert cache.shrink(code(), most=0, recent=0.0) == 0 and names() == ["read"]
    del store
    assert not cache.in_use(folder)
    assert cache.shrink(code(), most=0, recent=0.0) > 0 and names() == []


def test_a_limit_holds_when_something_new_is_encoded(place: Path) -> None:
    size = sum(file.stat().st_size for file in encoded("first", used=9000.0).iterdir())
    cache.set_limit(int(1.5 * size))
    encoded("second")
    assert names() == ["second"]


def test_stores_never_finished_are_swept_up(place: Path) -> None:
    encoded("whole")
    for name, age in (("crashed.1.tmp", 2 * cache.ABANDONED), ("running.2.tmp", 0.0)):
        (cache.stores() / name).mkdir()
        os.utime(cache.stores() / name, (time.time() - age,) * 2)
    cache.shrink(code())
    assert {path.name for path in cache.stores().glob("*.tmp")} == {"running.2.tmp"}


def test_the_command_lists_and_clears(place: Path, capsys: pytest.CaptureFixture) -> None:
    encoded("flowers")
    assert main(["cache"]) == 0
    assert "flowers" in (said := capsys.readouterr().out) and "of at most" in said
    assert main(["cache", "--limit", "3GB"]) == 0 and cache.limit() == 3 * 10**9 and names() == ["flowers"]
    assert main(["cache", "--clear"]) == 0 and names() == []
    assert main(["cache", "--limit", "much"]) == 2 and "expected a size" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "size"), [("20GB", 20 * 10**9), ("500 mb", 5 * 10**8), ("1.5G", 15 * 10**8), ("7", 7), ("7B", 7)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert size_of(text) == size and size_of(size_text(size).replace("bytes", "")) == size
    with pytest.raises(ConfigError):
        size_of(f"-{text}")
