"""Pages that answer in a browser: their answers are the run's, from the same cells, and they ask nobody else; what a browser cannot tell is refused."""

from __future__ import annotations

import base64
import functools
import importlib
import io
import os
import threading
import wave
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import browser
import numpy as np
import PIL.Image
import pytest

import mapsto
import mapsto.lite
from mapsto.cli import main
from mapsto.deploy import _parity, export
from mapsto.deploy import web as form
from mapsto.deploy.web import _runtime
from mapsto.errors import CellError, ConfigError
from mapsto.outputs._conformal import in_class_set
from mapsto.outputs._temperature import tempered
from mapsto.registry.scripts import place_of, script_of, with_imports
from mapsto.run import Run
from mapsto.serve.served import opened
from mapsto.serve.served.base import Wish
from mapsto.types.categories import Categories
from mapsto.types.category import Category
from mapsto.types.image._squares import squared
from mapsto.types.image._web import begins_with_columns
from mapsto.types.number import Number
from mapsto.types.text import Text

ROOT = Path(__file__).resolve().parents[1]
PLACES = (os.environ.get("MAPSTO_ORT", ""), ROOT / "node_modules" / "onnxruntime-web", *sorted((ROOT.parent / "shared").glob("onnxruntime-web*.tgz")))
RUNTIME = next((Path(place) for place in PLACES if str(place) and Path(place).exists()), None)
WORDS = ("good", "bad", "fine", "awful", "great", "poor", "film", "plot", "actor", "dull", "bright")
needs_chromium = pytest.mark.skipif(browser.PROGRAM is None, reason="no chromium here")
needs_runtime = pytest.mark.skipif(RUNTIME is None, reason="no onnxruntime-web here: npm pack onnxruntime-web, and MAPSTO_ORT=its .tgz")

pytestmark = pytest.mark.usefixtures("one_thread", "without_reports")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: Any) -> None:
        """Nobody listens."""


class Site:
    """A folder behind a plain web server, and a browser."""

    def __init__(self, folder: Path, opened: browser.Browser):
        self.browser = opened
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def opened_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    with browser.Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def scripts(opened_browser: browser.Browser) -> Iterator[Site]:
    """mapsto's own tree, whose scripts import each other as those of an export do."""
    site = Site(ROOT / "src" / "mapsto", opened_browser)
    opened_browser.visit(f"{site.url}page/icon.svg")
    yield site
    site.close()


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 rows of a picture of some size, a sound, a text, numbers, a date, a name; a class and a number; some cells missing."""
    folder, rng = tmp_path_factory.mktemp("things"), np.random.default_rng(0)
    lines = ["photo,clip,note,x,day,shop,sign,y"]
    for i in range(120):
        x, shop = rng.normal(), rng.choice(["a", "b", "Ümit"])
        size = (int(rng.integers(12, 60)), int(rng.integers(12, 60)), 3)
        PIL.Image.fromarray((128 + 60 * np.sign(x) + rng.normal(0, 30, size)).clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
        _wav(folder / f"{i}.wav", 4000 * np.sin(np.arange(int(rng.integers(1500, 3000))) * rng.uniform(0.2, 1.5)), 8000)
        note = " ".join(rng.choice(WORDS, rng.integers(1, 12)))
        day = np.datetime64("2020-01-01") + rng.integers(0, 900)
        y = (x if shop == "a" else -x) + 0.1 * rng.normal()
        lines.append(f"{i}.png,{i}.wav,{'' if i % 9 == 4 else note},{'' if i % 10 == 3 else round(x, 5)},{day},{shop},{'up' if x > 0 else 'down'},{y:.5f}")
    (folder / "things.csv").write_text("\n".join(lines) + "\n")
    return folder


def _wav(path: Path | io.BytesIO, samples: np.ndarray, rate: int) -> None:
    with wave.open(str(path) if isinstance(path, Path) else path, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


SIGNATURE = "photo:image(size=16), clip:audio, note:text, x, day, shop -> sign, y"


@pytest.fixture(scope="module")
def both(things: Path) -> tuple[Run, Path]:
    """A run of everything that a page reads, and its page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parity, "SECONDS", 0.05)
        options = {"steps": 6, "device": "cpu", "threads": 1, "plan": "default", "allow": "leakage"}
        model = "fusion(width=16, token=8)"
        run = mapsto.train(things / "things.csv", SIGNATURE, out=things / "runs", name="things", model=model, learner="supervised", **options)
        return run, export(run.path, "web", None, lambda event: None, ort=RUNTIME)[0]


@pytest.fixture(scope="module")
def site(both: tuple[Run, Path], opened_browser: browser.Browser) -> Iterator[Site]:
    found = Site(both[1], opened_browser)
    yield found
    found.close()


def cells_of(things: Path) -> list[dict[str, Any]]:
    """The rows as a page asks them."""
    head, *lines = (things / "things.csv").read_text().splitlines()
    rows = [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]
    for row in rows:
        row["x"] = float(row["x"]) if row["x"] else None  # type: ignore[assignment]
        row |= {name: base64.b64encode((things / row[name]).read_bytes()).decode() for name in ("photo", "clip")}
    return rows


ASKED = """
const { ask } = await import("/page/asking.js"), found = [];
for (const row of given) found.push(await ask("/things?probabilities=true", row).catch((problem) => ({ problem: problem.message })));
return found;
"""


# --- the page answers as the run -------------------------------------------------------------------------------------------------


@needs_chromium
@needs_runtime
def test_a_page_answers_as_its_run_and_asks_nobody(both: tuple[Run, Path], site: Site, things: Path) -> None:
    rows, wish = cells_of(things)[:100], Wish(probabilities=True, others_ok=True)
    rows[0]["shop"], rows[1]["photo"], rows[2]["clip"] = "elsewhere", None, None
    served = opened(both[0].path)
    read = served.read(rows, wish, 10**9)
    wanted = served.decode(read, served.predict([read.payload])[0], wish)
    site.browser.visit(site.url)

    found = site.browser.run(ASKED, rows)

    for one, other in zip(wanted, found, strict=True):
        one.pop("row")
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert other[name] == (pytest.approx(value, rel=1e-4, abs=1e-5) if isinstance(value, float) else value), name
    assert {one for one in site.browser.asked_for() if not one.startswith(site.url)} == set()
    assert not site.browser.complaints()


@needs_chromium
@needs_runtime
@pytest.mark.parametrize("width", [390, 1280])
def test_a_visitor_fills_the_form_and_is_answered(both: tuple[Run, Path], site: Site, things: Path, width: int) -> None:
    site.browser.visit(site.url, width, 844, "dark")
    filled = """
      const until = async (found) => { for (;;) { const one = found(); if (one) return one; await new Promise((go) => setTimeout(go, 50)); } };
      await until(() => document.querySelector("#form button.main"));
      const file = new File([Uint8Array.from(atob(given), (sign) => sign.charCodeAt(0))], "a.png", { type: "image/png" });
      const held = new DataTransfer();
      held.items.add(file);
      document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: held }));
      document.querySelector("textarea").value = "a good film";
      await until(() => document.querySelector(".drop img"));
      document.querySelector("#form").requestSubmit();
      await until(() => document.querySelector("#answer .value") || document.querySelector("#said .bad"));
      return { said: document.querySelector("#answer").textContent, bad: document.querySelector("#said").textContent,
        bars: document.querySelectorAll(".bars li").length, width: document.documentElement.scrollWidth };
    """

    found = site.browser.run(filled, cells_of(things)[0]["photo"])

    assert found["bars"] == 2 and found["bad"] == "" and "9 times in 10 between" in found["said"]
    assert "a shell" not in found["said"], "there is no server that could be asked"
    assert found["width"] <= width and not site.browser.complaints()


@needs_chromium
@needs_runtime
def test_a_cell_that_cannot_be_read_is_a_problem_and_no_guess(both: tuple[Run, Path], site: Site) -> None:
    site.browser.visit(site.url)
    rows = [{"x": "three"}, {"x": "٣"}, {"day": "2020-02-30"}, {"day": 7}, {"photo": "AAAA"}, {"clip": "UklGRgAAAABXQVZF"}, {"note": [1]}, {}]

    problems = [one["problem"] for one in site.browser.run(ASKED, rows)]

    for problem, said in zip(problems, ("a number or a date", "other scripts", "a number or a date", "expected a date", "not a picture", "not a sound", "a list of texts", ""), strict=True):
        assert said in problem and bool(said) == bool(problem)


@needs_runtime
def test_the_folder_is_an_export_as_any_other(both: tuple[Run, Path]) -> None:
    run, folder = both
    row = {"x": 1.5, "day": "2021-01-01", "shop": "a", "note": "good", "photo": None, "clip": None}

    found = mapsto.lite.open(folder).predict([row])

    assert found[0]["y"]["value"] == pytest.approx(run.predict([row])[0].predictions["y"].value, rel=1e-4)
    told = (folder / "README.md").read_text()
    assert "python -m http.server" in told and "MIT licence" in told
    assert {file.name for file in folder.iterdir()} >= {"index.html", "model.onnx", "rooms.json", "web.json", "page", "types", "outputs", "runtime"}


# --- scripts do as the types do --------------------------------------------------------------------------------------------------


@needs_chromium
def test_pictures_become_the_same_squares(scripts: Site) -> None:
    rng, wanted, given = np.random.default_rng(0), [], []
    for height, width, side, channels in [(80, 100, 64, 3), (100, 80, 64, 3), (28, 28, 28, 1), (17, 19, 64, 3), (571, 143, 64, 1), (40, 999, 33, 3), (300, 7, 224, 1), (1, 1, 8, 3), (900, 300, 100, 1)]:
        pixels = rng.integers(0, 256, (height, width, channels), np.uint8)
        wanted.append(squared(pixels, side).reshape(-1).tolist())
        given.append({"width": width, "height": height, "channels": channels, "side": side, "data": base64.b64encode(pixels.tobytes()).decode()})
    body = """
      const { squared } = await import("/types/image/web.js"), { bytesOf } = await import("/types/_web.js");
      return given.pictures.map((one) => Array.from(squared({ ...one, data: bytesOf(one.data) }, one.side, given.tall).data));
    """

    assert scripts.browser.run(body, {"pictures": given, "tall": begins_with_columns()}) == wanted


TEXTS = ("", "  ", "a", "<pad> <unknown> x", "It's we'll 'S don't", "naïve café", "e\u0301tude", "ÀÉÎ İstanbul ΣΊΣΥΦΟΣ Straße ǅ ﬁ", "日本語テキスト と English混在", "ไทย ภาษา")
TEXTS += ("👍🏽 emoji 👩‍👩‍👧", "tab\there\nnew\r\nline \u200b zero \ufeff bom", "a\u00a0b\u2003c\u0085d", "123,456.78 $5 5% 1/2 ½ ²", "https://x.y/z?q=1 @me #tag U.S.A. O'Neill l'homme", "한국어", "مرحبا بالعالم", "x" * 300)
TEXTS += ("   lead and  double  ", "-- ... !!! 'quoted' \"d\"", "A" * 20 + "b" * 20, "\x00nul \x01 \x1c sep", "good film " * 3000)


@needs_chromium
@pytest.mark.parametrize("kind", ["words", "bpe", "char", "ngrams", "ends", "apart"])
def test_texts_are_cut_alike(scripts: Site, kind: str) -> None:
    options = {"ends": {"long": "ends", "max": 9}, "apart": {}}.get(kind, {"tokenizer": kind})
    spec = {"side": "input", "rows": 99} | ({"tokenizer": "apart"} if kind == "apart" else {})
    text = Text(**options).fit([one for one in TEXTS if one.strip()] * 3, spec)
    wanted = [{name: value.reshape(-1).tolist() for name, value in text.graph_inputs([text.encode(text.read(one))]).items()} for one in TEXTS]
    body = """
      const { default: reader } = await import("/types/text/web.js"), read = reader(given.type);
      return given.texts.map((text) => Object.fromEntries(Object.entries(read(text).feed).map(([name, one]) => [name, Array.from(one.data, Number)])));
    """

    assert scripts.browser.run(body, {"type": {**text.to_json(), **text.web_options()}, "texts": TEXTS}) == wanted


NUMBERS = ["3", " -4.5e3 ", "1,234.5", "$ 12", "12 %", "(1,234)", "3,5", "1.234,5", "1 234", "1'234.5", "", "n/a", "?", "unknown", "−7", "+8", "1,4,7", "inf", "x1", "12 kg", 7, 0.25, True, None, "5e400", ".5", "5.", "1_000"]
DATES = ["2020-02-29", "2020/3/1", "2020-03", "01/02/2011", "13/02/2011", "1.2.11", "2 Jan 2011", "January 2, 2011", "2011-01-01 10:20", "2011-01-01T10:20:30.5Z", "2011-01-01 10:20:30+02:00"]
DATES += ["01/02/2011 6:30 PM", "10:20", "6:30 pm", "2011-13-01", "2011-02-30", "1600-01-01", "Mon, 2 Jan 2011 10:00 EST", "x", "", "3.5", "1969-12-31 23:59:59"]


@needs_chromium
@pytest.mark.parametrize("options", [{}, {"decimal": ","}, {"missing": (3.0,)}], ids=str)
def test_numbers_are_read_alike(scripts: Site, options: dict[str, Any]) -> None:
    _same_cells(scripts, "number/web.js", Number(**options).fit([1.0, 2.0, 5.0], {"side": "input", "rows": 3}), NUMBERS + DATES)


@needs_chromium
@pytest.mark.parametrize("first", [True, False])
def test_dates_are_read_alike(scripts: Site, first: bool) -> None:
    number = Number(day_first=first)
    days = [number.read((datetime(2011, 1, 1) + timedelta(hours=31 * i)).isoformat()) for i in range(40)]
    _same_cells(scripts, "number/web.js", number.fit(days, {"side": "input", "rows": 40}), DATES + NUMBERS[:4])


@needs_chromium
@pytest.mark.parametrize(("classes", "options"), [(["a", "b", "Ümit", "a b"], {}), (["1", "2", "30"], {"whole": True}), (["true", "false"], {"truths": True}), (["strasse", "a b"], {"fold": True})], ids=str)
def test_names_are_read_alike(scripts: Site, classes: list[str], options: dict[str, Any]) -> None:
    category = Category(**options).fit(classes * 9, {"side": "input", "rows": 99})
    cells = ["a", " b ", "A", "a  b", "U\u0308mit", "1", "1.0", "01", 1, 2.0, 30, 0.5, 1e-5, True, "TRUE", "0", None, "n/a", "-", "Straße", "?", 1e20]
    _same_cells(scripts, "category.js", category, cells)


@needs_chromium
@pytest.mark.parametrize(("values", "options"), [(["a; b", "b", "c; a"], {}), ([("a", "b"), ("c",)], {}), (["[a b]", "[c]"], {"brackets": True})], ids=str)
def test_labels_are_read_alike(scripts: Site, values: list[Any], options: dict[str, Any]) -> None:
    categories = Categories(**options).fit(values * 5, {"side": "input", "rows": 15})
    cells = ["a; b", "b ", '["a", "c"]', "['b', \"c\"]", "", None, "z", ["a", "b", "a"], {"a": 1, "b": None}, [1, 0, 1], "[1, 0, 1]", [1, 0], {"a": "maybe"}, {"a": "yes"}, "[]", "[b a]", "{a}", 3, "n/a", [None, "a"]]
    _same_cells(scripts, "categories.js", categories, cells)


def _same_cells(scripts: Site, script: str, type_: Any, cells: list[Any]) -> None:
    """What each cell becomes, or that it cannot be read, is the same on both sides."""
    wanted = []
    for cell in cells:
        try:
            encoded, problems = type_.encode_column([cell])
            if problems:
                raise CellError(problems[0])
            wanted.append({name: [None if value != value else pytest.approx(value, rel=1e-12, abs=1e-12) for value in array.reshape(-1).tolist()] for name, array in type_.graph_inputs(encoded).items()})
        except CellError:
            wanted.append(None)
    body = """
      const { default: reader } = await import(given.script), { CellError } = await import("/types/_web.js"), read = reader(given.type);
      return given.cells.map((cell) => {
        try {
          return Object.fromEntries(Object.entries(read(cell).feed).map(([name, one]) => [name, Array.from(one.data, Number)]));
        } catch (problem) {
          if (problem instanceof CellError) return null;
          throw problem;
        }
      });
    """

    found = scripts.browser.run(body, {"script": f"/types/{script}", "type": {**type_.to_json(), **type_.web_options()}, "cells": cells})

    for cell, one, other in zip(cells, wanted, found, strict=True):
        assert other == one, cell


@needs_chromium
def test_sounds_are_read_alike(scripts: Site) -> None:
    """Tones to the last step but one, at the same rate and at others; noise, 60 dB below itself, is not quite (rate.js)."""
    from mapsto.types.audio.files import at_rate, from_file

    pytest.importorskip("soundfile")
    pytest.importorskip("soxr")
    wanted, given = [], []
    for rate in (8000, 16000, 11025, 44100):
        samples = 9000 * np.sin(np.arange(rate // 2) * 2 * np.pi * 440 / rate) * np.hanning(rate // 2)
        _wav(file := io.BytesIO(), samples, rate)
        wanted.append(at_rate(from_file("a", file.getvalue()), 8000))
        given.append(base64.b64encode(file.getvalue()).decode())
    body = """
      const { default: reader } = await import("/types/audio/web.js"), read = reader({ most: 6000, hertz: 8000, order: false });
      return Promise.all(given.map(async (cell) => Array.from((await read(cell)).feed.cells.data)));
    """

    for one, other in zip(wanted, scripts.browser.run(body, given), strict=True):
        assert np.abs(one - np.array(other[: len(one)])).max() <= 1 and set(other[len(one) :]) <= {-32768}


@needs_chromium
def test_probabilities_and_sets_are_told_alike(scripts: Site) -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(5) / 2, 40).astype(np.float32)
    chances[:9] = chances[0]
    fitted = {"temperature": 1.3, "set": {"least": [float(np.round(np.float64(one), 6)) for one in tempered(chances, 1.3)[0]], "share": [0.5] * 5}}
    wanted = in_class_set(tempered(chances, 1.3), fitted["set"])
    body = """
      const { default: told } = await import("/outputs/classes.js"), tell = told({ answers: ["a", "b", "c", "d", "e"] }, given.fitted);
      return given.rows.map((row) => tell({ probability: { data: Float32Array.from(row) }, value: { data: [0n] } }));
    """

    found = scripts.browser.run(body, {"fitted": fitted, "rows": chances.tolist()})

    for inside, honest, one in zip(wanted, tempered(chances, 1.3), found, strict=True):
        assert {"abcde"[k] for k in np.flatnonzero(inside)} == set(one["set"])
        assert one["probabilities"] == pytest.approx(honest.tolist(), rel=1e-6)


@needs_chromium
def test_tags_and_stretches_are_told_alike(scripts: Site) -> None:
    body = """
      const { default: tags } = await import("/outputs/tags.js"), { default: span } = await import("/outputs/span.js");
      const source = { text: "Ann 👍 Lee left Bonn.", words: null };
      const told = tags({ vocabulary: ["O", "B-loc", "I-loc", "B-per", "I-per"], names: true })({ value: { data: BigInt64Array.of(3n, 0n, 4n, 0n, 2n, 0n), length: 5 } }, source);
      const one = (value) => ({ data: [value] });
      return [told, span()({ begin: one(4n), end: one(9n), probability: one(0.5) }, source)];
    """

    tags, span = scripts.browser.run(body)

    assert tags["words"] == ["Ann", "👍", "Lee", "left", "Bonn", "."] and tags["value"] == ["B-per", "O", "I-per", "O", "I-loc", "O"]
    assert [(one["type"], one["text"]) for one in tags["entities"]] == [("per", "Ann"), ("per", "Lee"), ("loc", "Bonn")]
    assert span["value"] == "👍 Lee" and (span["begin"], span["end"]) == (4, 9)


@needs_chromium
def test_a_page_shows_the_names_in_a_text(scripts: Site) -> None:
    body = """
      const { answered, brief } = await import("/page/answer.js");
      const run = { outputs: [{ name: "tags", columns: { value: "tags", words: "words", entities: "entities" }, classes: [] }] };
      const names = [{ text: "Ann Lee", type: "per", first: 0, last: 1 }, { text: "Bonn", type: "loc", first: 3, last: 3 }];
      const some = { tags: ["B-per", "I-per", "O", "B-loc"], words: ["Ann", "Lee", "left", "Bonn"], entities: names };
      const none = { tags: ["O"], words: ["Hello"], entities: [] }, parts = { tags: ["NOUN", "VERB"], words: ["Rain", "fell"] };
      return [some, none, parts].map((one) => [answered(run, one).textContent.trim(), brief(run.outputs[0], one)]);
    """

    assert scripts.browser.run(body) == [["Ann Leeper left Bonnloc", "Ann Lee (per), Bonn (loc)"], ["Hellono names", "no names"], ["RainNOUN fellVERB", "NOUN, VERB"]]


# --- what cannot be ----------------------------------------------------------------------------------------------------------------


def test_without_the_runtime_nothing_is_written_and_the_way_to_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.tgz").write_bytes(b"no archive")
    (tmp_path / "empty").mkdir()

    for path in (None, tmp_path / "none", tmp_path / "other.tgz", tmp_path / "empty"):
        with pytest.raises(ConfigError, match="npm pack onnxruntime-web") as problem:
            _runtime.opened(path)
        assert len(str(problem.value).splitlines()) <= 3


@needs_runtime
def test_the_command_says_what_lacks(both: tuple[Run, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["export", str(both[0].path), "--to", "web", "--out", str(tmp_path / "page")])

    assert code != 0 and "npm pack onnxruntime-web" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_runtime_is_taken_from_a_folder_and_from_a_package(tmp_path: Path) -> None:
    import tarfile

    dist = tmp_path / "package" / "dist"
    dist.mkdir(parents=True)
    for name in _runtime.FILES:
        (dist / name).write_bytes(name.encode())
    (tmp_path / "package" / "package.json").write_text('{"version": "9.9.9"}')
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.add(tmp_path / "package", "package")

    found = [_runtime.opened(path) for path in (tmp_path / "package", dist, tmp_path / "a.tgz")]

    assert all(one == found[0] for one in found) and found[0].version == "9.9.9"


def test_a_type_without_a_script_is_refused(both_sides: Any) -> None:
    run, kind = both_sides

    with pytest.raises(ConfigError, match=f"'{kind}' cannot be told in a browser"):
        form._sides(run)


@pytest.fixture(params=["type", "output"])
def both_sides(request: pytest.FixtureRequest) -> Any:
    """As much of a run as is asked for, with a type or a kind of answer that has no script."""
    from types import SimpleNamespace

    from mapsto.signature import parse

    class Odd(Category):
        """A type of somebody's own, in a file without a script."""

    class Even:
        """A kind of answer likewise."""

    odd = request.param == "type"
    signature = parse("a:category -> b:category")
    category = Category().fit(["x", "y"], {"side": "input"})
    types = {("input", "a"): Odd() if odd else category, ("output", "b"): category}
    run = SimpleNamespace(path=Path("run"), signature=signature, types=types, choice=SimpleNamespace(kinds={"b": "even"}), output=lambda name: Even())
    return run, "category" if odd else "even"


def test_16_bit_pictures_and_public_tokens_are_refused() -> None:
    from mapsto.types.image import Image

    with pytest.raises(ConfigError, match="16 bits"):
        Image(bits=16).fit([np.ones((5, 5, 1), np.uint16) * 999], {}).web_options()
    with pytest.raises(ConfigError, match="public model"):
        Text(kind="public").web_options()


def test_ort_is_of_pages_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="makes no page"):
        export(tmp_path, "onnx", None, lambda event: None, ort=tmp_path)


def test_scripts_bring_what_they_import() -> None:
    script = script_of(Category)
    assert script is not None

    found = with_imports([("types/category.js", script)])

    assert sorted(found) == ["types/_web.js", "types/category.js"]


def test_a_package_brings_its_scripts_in_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brought_odd.py").write_text("class Odd:\n    name = 'odd'\n")
    (tmp_path / "brought_odd.js").write_text('import {\n  tensor,\n} from "../_web.js";\nimport { more } from "./more.js";\nexport default more;\n')
    (tmp_path / "more.js").write_text('export const more = 1; // from "./nowhere.js";\n')
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module("brought_odd").Odd
    script = script_of(kind)
    assert script is not None

    place = place_of(kind, "types", "odd")

    assert place == "types/odd/brought_odd.js"
    assert sorted(with_imports([(place, script)])) == ["types/_web.js", "types/odd/brought_odd.js", "types/odd/more.js"]
