"""Nothing of a user's data is lost without a word, no input takes the memory or hangs, nothing outside is read."""

from __future__ import annotations

import io
import os
import random
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mapsto.data.open import open_source
from mapsto.errors import DataError

TRIALS = int(os.environ.get("MAPSTO_TRIALS", "45"))  # of damage to archives; 300 once a release


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path / "cache"))
    return tmp_path


def png(seed: int = 0, side: int = 12) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side), np.uint8)).save(file, "PNG")
    return file.getvalue()


def fails(what: object, *words: str) -> str:
    """A DataError of at most three lines that says all these words."""
    with pytest.raises(DataError) as caught:
        for _ in open_source(what).chunks():
            pass
    said = str(caught.value)
    assert len(said.splitlines()) <= 3, said
    for word in words:
        assert word in said, said
    return said


# --- archives --------------------------------------------------------------------------------------------------------------------


def tarred(path: Path, members: dict[str, bytes], **more: object) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w", **more) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def packed(path: Path, members: dict[str, bytes]) -> Path:
    return (zipped if path.suffix == ".zip" else tarred)(path, members)


def named_or_there(path: Path) -> set[str]:
    """Rows that are there, or of which it is said why they are not."""
    found: set[str] = set()
    for chunk in open_source(path).chunks():
        found |= {*chunk.where, *(row.where for row in chunk.bad)}
    return found


@pytest.mark.parametrize("kind", ["set.tar", "set.tar.gz", "set.zip"])
def test_damage_to_an_archive_loses_no_row_unsaid(place: Path, kind: str) -> None:
    """Cut anywhere, or with a byte of it another: refused, or every row of the manifest is there or named."""
    members = {f"{'ab'[i % 2]}/{i}.png": png(i) for i in range(12)}
    whole, draw, refused = packed(place / kind, members).read_bytes(), random.Random(kind), 0
    for trial in range(TRIALS // 3):
        at = draw.randrange(16, len(whole) - 1)
        damaged = whole[:at] if trial % 2 else whole[:at] + bytes([whole[at] ^ draw.randrange(1, 256)]) + whole[at + 1 :]
        if trial % 5 == 0 and kind == "set.tar":  # a header's, not a content's, of which a tar has no checksum
            at = 512 * draw.randrange(len(members)) * 2 + draw.randrange(156)
            damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        path = place / f"{trial}" / kind
        path.parent.mkdir()
        path.write_bytes(damaged)
        try:
            found = named_or_there(path)
        except DataError as problem:
            assert kind in str(problem) and len(str(problem).splitlines()) <= 3
            refused += 1
        else:
            assert found >= members.keys(), (trial, at, members.keys() - found)
    assert refused >= TRIALS // 12


def test_a_tar_is_read_to_its_end(place: Path) -> None:
    members = {f"{'ab'[i % 2]}/{i}.png": png(i) for i in range(4)}
    one = tarred(place / "one.tar", members).read_bytes()
    (place / "two.tar").write_bytes(one + one)
    fails(place / "two.tar", "two.tar", "another archive", "b/3.png")
    (place / "bent.tar").write_bytes(one[:1024] + b"\xff" + one[1025:])
    fails(place / "bent.tar", "what follows 'a/0.png'", "bad checksum")
    (place / "cut.tar").write_bytes(one[:2048])
    fails(place / "cut.tar", "cut.tar", "cut off")
    zeros = bytes(one[: 4 * 1024] + bytes(512))
    (place / "short.tar").write_bytes(zeros)  # one block at its end rather than two: nothing is missing
    assert named_or_there(place / "short.tar") == members.keys()


def test_rows_of_a_damaged_webdataset_are_not_lost(place: Path) -> None:
    members = {f"{i}.{kind}": png(i) if kind == "png" else b"1" for i in range(9) for kind in ("png", "cls")}
    one = tarred(place / "one.tar", members).read_bytes()
    (place / "bent.tar").write_bytes(one[:6144] + b"\xff" + one[6145:])
    fails(place / "bent.tar", "bent.tar is damaged", "bad checksum")
