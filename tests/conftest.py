"""What tests share: a cache of their own, quiet threads, and small data made here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

# Tests run beside each other: threads that wait for others shall sleep at once, not take a core from them.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing a test does touches the user's cache."""
    before = os.environ.get("MAPSTO_CACHE")
    os.environ["MAPSTO_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["MAPSTO_CACHE"]
    else:
        os.environ["MAPSTO_CACHE"] = before


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Work this small is faster on one thread, and many times so when others use the processor."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def without_reports() -> Iterator[None]:
    """Trainings whose report nobody looks at write none, which spares a third of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapsto.report.reporting.written", lambda *words: "")
        yield


@pytest.fixture(scope="module")
def two_nets() -> Iterator[None]:
    """Small tables are learned by two nets of folds instead of five, where it is something else that is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapsto.recipes.tables.NETS", 2)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that need it skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"real data is not here ({DATA})")
    return DATA


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 rows: y = x for shop a, -x for b and c, plus noise; sign is y's; a tenth of x is missing."""
    rng = np.random.default_rng(0)
    x, shop = rng.normal(size=600), rng.choice(list("abc"), 600)
    y = np.where(shop == "a", x, -x) + 0.1 * rng.normal(size=600)
    path = tmp_path_factory.mktemp("table") / "shops.csv"
    lines = [
        f"{'' if i % 10 == 3 else round(float(a), 6)},{s},{round(float(b), 6)},{'up' if b > 0 else 'down'}"
        for i, (a, s, b) in enumerate(zip(x, shop, y, strict=True))
    ]
    path.write_text("\n".join(["x,shop,y,sign", *lines]) + "\n")
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two class folders of 60 pictures each, 16×16 colour: bars across, bars down."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("photos") / "bars"
    for name, axis in (("across", 0), ("down", 1)):
        (folder / name).mkdir(parents=True)
        for i in range(60):
            wave = np.sin(np.arange(16) * rng.uniform(0.8, 1.4) + rng.uniform(0, 6))
            picture = 128 + 60 * np.expand_dims(wave, 1 - axis) + rng.normal(0, 20, (16, 16, 3)).mean(2) + np.zeros((16, 16))
            PIL.Image.fromarray(np.stack([picture.clip(0, 255)] * 3, -1).astype(np.uint8)).save(folder / name / f"{i:02d}.png")
    return folder
