"""Nothing of a user's data is lost without a word, no input takes the memory or hangs, nothing outside is read."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import soundfile
import torch

from mapsto import api
from mapsto.cli import main
from mapsto.config import options_of
from mapsto.data import cache, files
from mapsto.data.archive import unpack
from mapsto.data.files import identity
from mapsto.data.formats import delimited, jsonl
from mapsto.data.open import open_source
from mapsto.errors import ConfigError, DataError, MapstoError
from mapsto.run import Run
from mapsto.run.segments import put_back
from mapsto.training.checkpoint import save as save_checkpoint
from mapsto.types.audio import Audio
from mapsto.types.audio import files as sounds
from mapsto.types.image import Image, _decoding

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


def test_odd_but_honest_archives(place: Path) -> None:
    members = {f"{'ab'[i % 2]}/{i}.png": png(i) for i in range(4)}
    apples = {f"{name.rpartition('/')[0]}/._{name.rpartition('/')[2]}": b"x" for name in members}
    apples |= {f"__MACOSX/{name}": b"x" for name in members}
    assert named_or_there(zipped(place / "mac.zip", members | apples)) == members.keys()
    assert named_or_there(tarred(place / "mac.tar", members | apples)) == members.keys()
    long = {f"{name.partition('/')[0]}/{'ü' * 60}{name[-5:]}": data for name, data in members.items()}
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        assert named_or_there(tarred(place / f"long{kind}.tar", long, format=kind)) == long.keys()
    with zipfile.ZipFile(place / "large.zip", "w") as archive:
        for name, data in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    assert named_or_there(place / "large.zip") == members.keys()


def test_sparse_members(place: Path) -> None:
    (place / "hole.csv").write_bytes(b"x,y\n" + b"1,2\n" * 20)
    with open(place / "hole.csv", "r+b") as file:
        file.truncate(1 << 20)  # zeros behind, which GNU tar leaves out
    done = subprocess.run(["tar", "--sparse", "-cf", "s.tar", "hole.csv"], cwd=place, check=False)
    if done.returncode:
        pytest.skip("no GNU tar here")
    assert (unpack(place / "s.tar") / "hole.csv").read_bytes() == (place / "hole.csv").read_bytes()


def test_archives_that_are_not_opened(place: Path) -> None:
    for head, kind in ((b"7z\xbc\xaf\x27\x1c", "7z archive"), (b"Rar!\x1a\x07", "rar archive")):
        (place / "a.xyz").write_bytes(head + bytes(200))
        fails(place / "a.xyz", kind, "Unpack it yourself", ".zip or .tar.gz")
    whole = zipped(place / "a.zip", {"a.csv": b"x,y\n1,2\n"}).read_bytes()
    locked = whole.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0")
    assert locked != whole
    (place / "a.zip").write_bytes(locked)
    fails(place / "a.zip", "a.zip is encrypted", "'a.csv'", "Unpack it yourself")


def test_what_of_an_archive_is_no_file_is_named(place: Path) -> None:
    members = {f"{'ab'[i % 2]}/{i}.png": png(i) for i in range(4)}
    with tarfile.open(tarred(place / "l.tar", members), "a") as archive:
        info = tarfile.TarInfo("a/gone.png")
        info.type, info.linkname = tarfile.SYMTYPE, "nothing.png"
        archive.addfile(info)
        info = tarfile.TarInfo("b/3.png")
        info.size = len(png(3))
        archive.addfile(info, io.BytesIO(png(3)))
        info = tarfile.TarInfo(f"b/{'x' * 300}.png")
        info.size = len(png(3))
        archive.addfile(info, io.BytesIO(png(3)))
    source = open_source(place / "l.tar")
    bad = {row.where: row.why for chunk in source.chunks() for row in chunk.bad}
    assert "nothing" in bad["a/gone.png"] and "twice" in bad["b/3.png"] and f"b/{'x' * 300}.png" in bad
    assert any("gone.png" in said for said in source.said)


# --- the cache -------------------------------------------------------------------------------------------------------------------


def test_an_unpacked_archive_is_whole_or_unpacked_again(place: Path) -> None:
    members = {f"{'ab'[i % 2]}/{i}.png": png(i) for i in range(4)}
    path = zipped(place / "set.zip", members)
    folder = unpack(path)
    for damage in (
        lambda: (folder / "a/0.png").unlink(),
        lambda: (folder / "a/0.png").write_bytes(b"cut"),
        lambda: (folder / "a/more.png").write_bytes(png()),
        lambda: (folder.parent / cache.ARCHIVE_RECORD).unlink(),
    ):
        damage()
        assert named_or_there(path) == members.keys()
        assert (folder / "a/0.png").read_bytes() == members["a/0.png"] and not (folder / "a/more.png").exists()
    assert [each.name for each in folder.parent.parent.iterdir()] == [folder.parent.name]


def test_the_cache_counts_and_clears_all_of_it(place: Path) -> None:
    program = "import sys; from mapsto.data.archive import unpack; print(unpack(__import__('pathlib').Path(sys.argv[1])))"
    path = zipped(place / "set.zip", {f"{i}.csv": os.urandom(10_000) for i in range(5)})
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    (cache.stores() / "damaged").mkdir(parents=True)
    (cache.stores() / "damaged/0.bin").write_bytes(bytes(1000))
    for left in (cache.stores() / "x.1.tmp", cache.unpacked_archives() / ".building-1"):
        left.mkdir()
        (left / "some").write_bytes(bytes(1000))
    (place / "cache/.limit.json.12345678.tmp").write_bytes(bytes(1000))
    os.utime(place / "cache/.limit.json.12345678.tmp", (0, 0))
    found = cache.kept()
    assert {(one.kind, one.name) for one in found} >= {("unpacked", "set.zip"), ("encoded", "?")}
    assert len(found) == 4 and sum(one.bytes for one in found) > 53_000
    held = cache.hold(cache.stores() / "x.1.tmp")  # a command that lives
    assert cache.shrink("", most=0, recent=0.0) > 52_000
    assert [one.folder.name for one in cache.kept()] == ["x.1.tmp"] and not list((place / "cache").glob(".*.tmp"))
    held.close()


# --- memory ----------------------------------------------------------------------------------------------------------------------


def flac(samples: np.ndarray, rate: int = 8000, declared: int | None = None) -> bytes:
    """declared: samples that its head says it has."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC")
    data = bytearray(file.getvalue())
    if declared is not None:  # the last 36 of the 64 bits that hold rate, channels, depth and length
        head = int.from_bytes(data[18:26], "big") >> 36 << 36
        data[18:26] = (head | declared).to_bytes(8, "big")
    return bytes(data)


def test_a_sound_that_says_it_is_huge_is_one_row(place: Path) -> None:
    huge = flac(np.zeros((100, 8), np.int16), 48_000, 48_000 * 3500)  # 5 GB
    _, problems = Audio(hertz=8000, most=800, bands=40, mean=(0.0,) * 40, std=(1.0,) * 40).encode_column(
        [flac(np.ones(800, np.int16)), huge]
    )
    assert set(problems) == {1}


def test_of_a_long_sound_only_what_is_kept_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    loud = np.random.default_rng(0).normal(0, 100, 80_000).astype(np.int16)
    loud[50_000:60_000] *= 20
    at_once = sounds.from_file("a", flac(loud))
    monkeypatch.setattr(sounds, "LONG", 20_000)
    assert (sounds.from_file("a", flac(loud)).samples == at_once.samples).all()
    part = sounds.from_file("a", flac(loud), 1.0)
    assert part.length == 80_000 and len(part.samples) == 8000
    begin = next(i for i in range(49_000, 53_000) if (loud[i : i + 100] == part.samples[:100]).all())
    assert 49_900 < begin < 52_100
    assert (sounds.at_rate(at_once, 4000) == sounds.at_rate(replace(at_once, samples=loud), 4000)).all()


def test_pictures_that_are_all_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decoding, "LONG", 10_000)
    tall, wide, fair = io.BytesIO(), io.BytesIO(), io.BytesIO()
    PIL.Image.new("L", (1, 20_000)).save(tall, "PNG")
    PIL.Image.new("RGBA", (20_000, 2)).save(wide, "PNG")
    PIL.Image.new("L", (100, 1000)).save(fair, "PNG")
    for file in (tall, wide):
        with pytest.raises(DataError, match="one side more than 1,000 times"):
            Image(size=8).read(file.getvalue())
    assert Image(size=8).read(fair.getvalue()) is not None
    with pytest.raises(ConfigError, match="size"):
        options_of(Image, {"size": 100_000}, "image")


def test_strips_of_a_picture_are_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    for mode, planes in (("RGBA", 4), ("L", 1), ("RGB", 3), ("P", 1)):
        pixels = draw.integers(0, 255, (211, 97, planes), np.uint8)
        picture = PIL.Image.fromarray(pixels[..., 0] if planes == 1 else pixels).convert(mode)
        monkeypatch.setattr(_decoding, "STRIP", 1 << 30)
        whole = Image(size=16).read(picture)
        monkeypatch.setattr(_decoding, "STRIP", 97 * 20)
        assert np.array_equal(whole, Image(size=16).read(picture))


@pytest.mark.parametrize("shape", ["(-5, 3)", "(10**12, 28, 28)", "(2, 10**9)", "(True, 2, 2)", "(2,", "(1000000000000000000000, 2, 2)"])
def test_arrays_of_impossible_shapes(place: Path, shape: str) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".replace("10**12", str(10**12)).replace("10**9", str(10**9))
    header = header.ljust(117) + "\n"
    (place / "a.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + bytes(1000))
    fails(place / "a.npy", "a.npy")


def test_bombs_of_text(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "RATIO_FROM", 1 << 22)
    monkeypatch.setattr(files, "LONGEST_LINE", 1 << 21)
    monkeypatch.setattr(delimited, "LONGEST_HEADER", 1 << 20)
    monkeypatch.setattr(jsonl, "MOST_WHOLE", 1 << 22)
    for name, content, word in (
        ("rows.csv.gz", b"a,b\n" + b"1,2\n" * 2_000_000, "bombs"),
        ("rows.jsonl.gz", b'{"a": 1}\n' * 1_000_000, "bombs"),
        ("line.csv.gz", b"a,b\n" * 40 + b"a" * 4_000_000, "one has more than 2 MB"),
        ("head.csv", b"a" * 4_000_000, "its first line"),
        ("line.jsonl", b'{"a": "b"}\n' * 40 + b"a" * 4_000_000, "one has more than 2 MB"),
        ("list.json.gz", b"[" + b'{"a": 1},' * 1_000_000 + b'{"a": 1}]', "one JSON object a line"),
    ):
        (place / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        fails(place / name, name, word)


# --- kills -----------------------------------------------------------------------------------------------------------------------


class Kill(BaseException):
    """Comes between two writes, as a kill does."""


WRITES = ((os, "replace"), (os, "rename"), (os, "link"), (os, "unlink"), (os, "mkdir"), (shutil, "copyfile"), (shutil, "rmtree"))


def killed_at(number: int, what: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Was there a write of that number, before which it was killed?"""
    count = 0

    def counted(write: Callable[..., object]) -> Callable[..., object]:
        def writing(*args: object, **more: object) -> object:
            nonlocal count
            count += 1
            if count > number:  # nothing is written any more, not even by what cleans up
                raise Kill
            return write(*args, **more)

        return writing

    with monkeypatch.context() as patch:
        for module, name in WRITES:
            patch.setattr(module, name, counted(getattr(module, name)))
        try:
            what()
        except Kill:
            return True
    return False


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("learned")
    table = place / "t.csv"
    table.write_text("x,y\n" + "".join(f"{i % 7},{'ab'[i % 7 > 3]}\n" for i in range(200)))
    return api.train(table, "x -> y", out=place / "runs", emit=print, steps=2, device="cpu").path


def test_every_state_that_a_kill_leaves_is_known(learned: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`extend` killed before each of its writes: done, and answering as before, or running, and to be resumed."""
    before = api.load(learned).predict({"x": 1})
    found: set[str] = set()
    for number in range(200):
        path = Path(shutil.copytree(learned, place / f"run-{number}"))
        (path / "checkpoint.safetensors").write_bytes(b"of a kill before it went")
        with monkeypatch.context() as patch:
            patch.setattr(api, "fit", lambda run, *rest: run)
            if not killed_at(number, lambda path=path: api.extend(path, steps=1, emit=print), monkeypatch):
                break
        run = Run.open(path)
        found.add(run.status)
        if run.status == "done":
            assert repr(run.predict({"x": 1})) == repr(before)
            with monkeypatch.context() as patch:
                patch.setattr(api, "fit", lambda run, *rest: run)
                assert api.extend(path, steps=1, emit=print).record["segment"] == "segments/1"
            assert [each.name for each in (path / "segments").iterdir()] == ["1"]
        else:
            assert repr(api.load(path).predict({"x": 1})) == repr(before)
        if run.status != "done" and number % 3 == 0:
            done = api.resume(path, emit=print)
            assert done.status == "done" and done.record["steps"] == 1 and (path / "segments/1/model.safetensors").exists()
        assert not (path / "checkpoint.safetensors").exists()
    assert found == {"done", "running"} and number > 10


def test_a_run_killed_once_it_was_done_can_be_extended(learned: Path, place: Path) -> None:
    path = Path(shutil.copytree(learned, place / "run"))
    save_checkpoint(path, {"x": torch.zeros(1)}, {"step": 1000})
    run = api.extend(path, steps=1, emit=print)
    assert run.status == "done" and run.record["steps"] == 1 and not (path / "checkpoint.safetensors").exists()


def test_weights_that_an_earlier_version_left_in_a_segment_come_back(learned: Path, place: Path) -> None:
    path = Path(shutil.copytree(learned, place / "run"))
    (path / "segments/1").mkdir(parents=True)
    shutil.copyfile(path / "run.json", path / "segments/1/run.json")
    for name in ("model.safetensors", "decisions.jsonl"):
        (path / name).rename(path / "segments/1" / name)
    assert api.load(path).predict({"x": 1}) is not None
    assert api.extend(path, steps=1, emit=print).status == "done"


def test_what_never_began_is_undone_whatever_kills_it(learned: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = api.load(learned).predict({"x": 1})
    for number in range(100):
        path = Path(shutil.copytree(learned, place / f"run-{number}"))
        with monkeypatch.context() as patch:
            patch.setattr(api, "fit", lambda run, *rest: run)
            run = api.extend(path, steps=1, emit=print)
        if not killed_at(number, lambda run=run: put_back(run, "segments/1"), monkeypatch):
            assert not (path / "segments").exists()
            break
        if (run := Run.open(path)).status == "done":
            assert repr(run.predict({"x": 1})) == repr(before)
        elif number % 8 == 0:
            assert api.resume(path, emit=print).status == "done"
    assert number > 5


# --- what is answered and what is reused -----------------------------------------------------------------------------------------


def test_of_several_files_the_good_ones_are_answered(learned: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "good.csv").write_text("x\n1\n2\n")
    (place / "empty.csv").write_text("")
    assert main(["predict", str(learned), str(place / "empty.csv"), str(place / "good.csv"), str(place / "gone.csv")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3 and "empty.csv" in err and "gone.csv" in err
    assert main(["predict", str(learned), str(place / "empty.csv"), str(place / "gone.csv")]) == 2


def test_two_folders_of_equal_names_sizes_and_times_share_nothing(place: Path) -> None:
    for name, cell in (("one", "1"), ("two", "2")):
        (place / name).mkdir()
        (place / name / "t.csv").write_text("x,y\n" + f"{cell},1\n" * 50)
        os.utime(place / name / "t.csv", (10**9, 10**9))
    sources = [open_source(place / name) for name in ("one", "two", "one")]
    assert sources[0].fingerprint == sources[1].fingerprint  # of what a copy of the data has, too
    keys = [identity(source.read_from) for source in sources]
    assert keys[0] == keys[2] != keys[1]
    (place / "one/t.csv").write_text("x,y\n" + "3,1\n" * 50)
    os.utime(place / "one/t.csv", (10**9, 10**9))
    assert identity(sources[0].read_from) != keys[0]
    path = zipped(place / "a.zip", {"in.csv": b"x,y\n1,2\n"})
    assert identity([f"{path}/in.csv"]) == identity([str(path)]) != identity([])
    assert identity([str(place / "*" / "t.csv")]) == identity([str(place / name / "t.csv") for name in ("one", "two")])


# --- places and names ------------------------------------------------------------------------------------------------------------


def test_pipes_and_names_of_nobody(place: Path) -> None:
    os.mkfifo(place / "pipe.csv")
    fails(place / "pipe.csv", "pipe.csv", "a pipe or a device")
    fails("~nosuchuser/t.csv", "~nosuchuser")
    (place / "set").mkdir()
    os.mkfifo(place / "set/1.png")
    for i in range(3):
        (place / f"set/a{i}.png").write_bytes(png(i))
    bad = [row for chunk in open_source(place / "set").chunks() for row in chunk.bad]
    assert [(row.where, row.why) for row in bad] == [("1.png", "a pipe or a device, no file")]
    assert 0 in Image(size=8, side=8, planes=1).encode_column([str(place / "set/1.png")])[1]


def test_long_names_in_messages(place: Path) -> None:
    assert len(fails("x" * 10_000)) < 2100
    (place / "t.csv").write_text("a" * 10_000 + ",b\n1,2\n")
    with pytest.raises(MapstoError) as caught:
        api.train(place / "t.csv", "c -> d", out=place / "runs", emit=print)
    assert max(map(len, str(caught.value).splitlines())) < 1010


def test_names_that_are_not_utf8(place: Path) -> None:
    for i in range(40):
        folder = os.fsencode(place / "set") + (b"/caf\xe9/" if i % 2 else b"/tea/")
        os.makedirs(folder, exist_ok=True)
        Path(os.fsdecode(folder + b"p\xe9%d.png" % i)).write_bytes(png(i) if i != 4 else b"x")
    run = api.train(place / "set", out=place / "runs", emit=print, steps=1, model="linear", device="cpu", max_bad=0.5)
    assert run.status == "done" and "p\\udce94.png" in (run.path / "quarantine.csv").read_text()
    assert run.predict(place / "set")
