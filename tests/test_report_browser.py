"""The page as a browser sees it: no request, no complaint, nothing beside the window, on desk and phone, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import browser
import pytest

from mapsto import api
from mapsto.run import Run

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason="no chromium here")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    with browser.Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return api.train(photos, steps=10, threads=1, model="linear", out=tmp_path_factory.mktemp("runs"), emit=lambda event: None)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_the_page_opens_everywhere(opened: browser.Browser, run: Run, width: int, scheme: str) -> None:
    path = run.path.absolute() / "report.html"

    found = opened.open(path, width, 900, scheme)

    assert [one for one in found["requests"] if not one.startswith("data:")] == [path.as_uri()]
    assert found["complaints"] == []
    assert found["width"] <= width and found["beside"] == []
    assert found["figures"] >= 5 and found["small"] == 0
    assert sum(int(part) for part in found["background"].strip("rgb()").split(",")) < 300 if scheme == "dark" else True


def test_the_page_prints(opened: browser.Browser, run: Run) -> None:
    opened.open(run.path.absolute() / "report.html", 1280, 900, "dark")

    found = opened.ask("Page.printToPDF", printBackground=True)

    assert len(found["data"]) > 50_000
