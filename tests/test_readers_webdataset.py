"""Files of one name in a tar are a row."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import PIL.Image
import pytest

from mapsto.data.open import open_source
from mapsto.testing.readers import check_reader


def png(shade: int) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("L", (8, 8), shade).save(file, "png")
    return file.getvalue()




def packed(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz"])
def test_files_of_one_name_in_a_tar_are_a_row(tmp_path: Path, name: str) -> None:
    files: dict[str, bytes] = {}
    for i in range(5):
        files |= {f"set/{i:04}.png": png(40 * i), f"set/{i:04}.cls": f"{i % 2}\n".encode(), f"set/{i:04}.json": json.dumps({"light": 40 * i}).encode()}
    rows = [{"image": png(40 * i), "cls": str(i % 2), "light": 40 * i} for i in range(5)]
    check_reader("webdataset", packed(tmp_path / name, files), rows)


def test_a_tar_of_class_folders_stays_one(tmp_path: Path) -> None:
    source = open_source(packed(tmp_path / "set.tar", {f"{kind}/{i}.png": png(i) for kind in "ab" for i in range(3)}))
    assert source.columns == ("image", "category")
