"""Runs in use: answers over the web are those of `mapsto predict`, and whatever comes in, the server stands."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import io
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import browser
import httpx
import PIL.Image
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mapsto
from mapsto import page
from mapsto.cli import main
from mapsto.errors import MapstoError
from mapsto.registry import entry, names
from mapsto.serve.app import Options, app_of
from mapsto.serve.batching import Batcher
from mapsto.serve.limits import Limits
from mapsto.serve.listening import listen
from mapsto.serve.workers import Died
from mapsto.types.text.conversation import messages_of

GOLDEN = Path(__file__).parent / "golden"
ROW = {"x": 1.5, "shop": "a"}


class Server:
    """A server in a thread. `url`: where it listens."""

    def __init__(self, paths: dict[str, Path], options: Options = Options(), workers: bool = True):  # noqa: B008
        self.app = app_of(paths, options)
        self.socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        # log_config=None: uvicorn's closes all handlers there are, of which absl's (of rouge_score) closes the stream that pytest writes to
        config = uvicorn.Config(self.app, log_level="error", log_config=None, lifespan="on" if workers else "off", timeout_graceful_shutdown=10)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    def __enter__(self) -> Server:
        self.thread.start()
        self.http = httpx.Client(base_url=self.url, timeout=60)
        return self

    def until_ready(self) -> Server:
        deadline = time.monotonic() + 120
        while self.http.get("/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return self

    def __exit__(self, *problem: object) -> None:
        self.http.close()
        self.server.should_exit = True
        self.thread.join(60)

    def service(self, name: str) -> Any:
        return self.app.app.state.services[name]


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory, without_reports: None) -> Any:
    folder = tmp_path_factory.mktemp("runs")
    return mapsto.train(str(table), "x, shop -> sign:category, y:number", out=folder, model="baseline", device="cpu", emit=lambda event: None)


@pytest.fixture(scope="module")
def log() -> list[str]:
    return []


@pytest.fixture(scope="module")
def server(run: Any, log: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    link = folder / "best"
    link.symlink_to(run.path)
    paths = {"shops": link, "pictures": GOLDEN / "0.2-pictures", "book": GOLDEN / "0.2-book"}
    options = Options(limits=Limits(most_bytes=2_000_000, most_pixels=1_000_000, most_rows=2_000, queue=64), feedback=folder / "kept.jsonl", log=log.append, watch=True)
    with Server(paths, options) as one:
        yield one.until_ready()


def picture(side: int = 8, light: int = 200) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("L", (side, side), light).save(file, "PNG")
    return file.getvalue()


# --- answers ---------------------------------------------------------------------------------------------------------------------


def test_answers_are_those_of_predict(server: Server, run: Any, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    assert main(["predict", str(run.path), str(table), "--probabilities", "--out", str(out)]) == 0

    answer = server.http.post("/shops?probabilities=true", content=table.read_bytes(), headers={"content-type": "text/csv"})

    assert answer.headers["content-type"].startswith("text/csv")
    said, wanted = (list(map(str.split, text.replace(",", " , ").splitlines())) for text in (answer.text, out.read_text()))
    assert said[0] == wanted[0] and len(said) == 601
    for mine, other in zip(said[1:], wanted[1:], strict=True):
        for a, b in zip(mine, other, strict=True):
            assert a == b or abs(float(a) - float(b)) <= 1e-4 * (1 + abs(float(b)))


def test_a_line_that_is_no_row_stands_among_the_answers(server: Server) -> None:
    answer = server.http.post("/shops", content=b"x,shop\n1,a\n2,b,c,d\n3,c\n", headers={"content-type": "text/csv"})

    rows = list(csv.DictReader(answer.text.splitlines()))
    assert [row["row"] for row in rows] == ["row 0", "row 1", "line 3"] and "cells" in rows[2]["problem"]


def test_one_row_and_many(server: Server, run: Any) -> None:
    one = server.http.post("/shops", json=ROW).json()
    many = server.http.post("/shops", json=[ROW, {"x": None, "shop": "b"}]).json()

    assert isinstance(one, dict) and len(many) == 2
    assert one["sign"] == run.predict(ROW).predictions["sign"].value == many[0]["sign"]
    assert set(one) == {"row", "sign", "probability", "set", "y", "low", "high", "unsure", "note", "problem"} or "sign.probability" in one


def test_pictures_come_as_files_and_as_base64(server: Server) -> None:
    data = picture()

    form = server.http.post("/pictures", files={"image": ("a.png", data)}).json()
    several = server.http.post("/pictures", files=[("image", ("a.png", data)), ("image", ("b.png", picture(light=3)))]).json()
    text = server.http.post("/pictures", json={"image": base64.b64encode(data).decode()}).json()

    run = mapsto.load(GOLDEN / "0.2-pictures")
    wanted = run.predict(PIL.Image.open(io.BytesIO(data))).predictions["category"]
    assert form["category"] == text["category"] == several[0]["category"] == wanted.value
    assert form["probability"] == pytest.approx(wanted.probability, rel=1e-4)


def test_one_damaged_picture_among_many_requests_fails_alone(server: Server) -> None:
    good, bad = picture(), picture()[:40]

    def ask(data: bytes) -> httpx.Response:
        return server.http.post("/pictures", files={"image": ("a.png", data)})

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, [good] * 15 + [bad]))

    assert [one.status_code for one in found] == [200] * 15 + [422]
    assert "damaged" in found[-1].json()["problem"] or "not a picture" in found[-1].json()["problem"]


def test_a_row_that_breaks_the_net_fails_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from mapsto.serve.workers import Broken

    service = server.service("shops")
    ask, worker = service.current.worker.ask, service.current.worker

    async def breaks(what: str, asked: Any) -> Any:
        if any(float(payload["input", "x"][0]) == 666 for payload in asked):
            raise Broken("RuntimeError: no")
        return await ask(what, asked)

    monkeypatch.setattr(worker, "ask", breaks)
    monkeypatch.setattr(service.current.batcher, "reading", 1)  # as if another came in: batches wait to be full
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: server.http.post("/shops", json={"x": x, "shop": "a"}).status_code, [1, 2, 666, 3, 4, 5]))

    assert found == [200, 200, 500, 200, 200, 200]


def test_what_moved_an_answer(server: Server) -> None:
    table = server.http.post("/shops/explain", json=ROW).json()
    seen = server.http.post("/pictures/explain", files={"image": ("a.png", picture())}).json()

    assert set(table["inputs"]) == {"x", "shop"} and max(abs(one["weight"]) for one in table["inputs"].values()) <= 1
    assert base64.b64decode(seen["inputs"]["image"]["picture"]).startswith(b"\x89PNG")


def test_examples_are_test_rows(server: Server) -> None:
    found = server.http.get("/shops/examples").json()

    assert found and all(set(row) == {"x", "shop"} for row in found)
    assert server.http.post("/shops", json=found).status_code == 200


def test_a_text_that_goes_on(server: Server) -> None:
    asked = {"prompt": "the ", "tokens": 12, "temperature": 0}

    whole = server.http.post("/book/write", json=asked).json()["text"]
    pieces = list(mapsto.Client(f"{server.url}/book").write("the ", tokens=12, temperature=0))

    assert whole == "".join(pieces) == mapsto.load(GOLDEN / "0.2-book").sample(prompt="the ", tokens=12, temperature=0)[0].removeprefix("the ")


def test_openai_completions(server: Server) -> None:
    asked = {"model": "book", "prompt": "the ", "max_tokens": 6, "temperature": 0}

    whole = server.http.post("/v1/completions", json=asked).json()
    events = server.http.post("/v1/completions", json={**asked, "stream": True}).text.split("\n\n")

    parts = [json.loads(event.removeprefix("data: ")) for event in events if event and "[DONE]" not in event]
    assert "".join(part["choices"][0]["text"] for part in parts) == whole["choices"][0]["text"]
    assert events[-2] == "data: [DONE]" and whole["object"] == "text_completion"
    assert server.http.post("/v1/completions", json={**asked, "model": "none"}).status_code == 404
    assert "error" in server.http.post("/v1/chat/completions", json={"model": "book", "messages": []}).json()


# --- bad input -------------------------------------------------------------------------------------------------------------------

JSON = {"content-type": "application/json"}
BAD = {
    "wrong field": ("/shops", b'{"X": 1, "shop": "a"}', JSON, 422, "'X' is no field"),
    "unknown field": ("/shops", b'{"x": 1, "shop": "a", "colour": 2}', JSON, 422, "'colour' is no field"),
    "field misspelt": ("/shops", b'{"x": 1, "shop": "a", "shops": "b"}', JSON, 422, "did you mean 'shop'?"),
    "unknown option": ("/shops?probability=true", b'{"x": 1, "shop": "a"}', JSON, 422, "did you mean 'probabilities'?"),
    "an option of others": ("/shops/explain?missing_ok=true", b'{"x": 1, "shop": "a"}', JSON, 422, "is no option"),
    "nothing there": ("/shop", b"{}", JSON, 404, "/shop: there is nothing here"),
    "wrong type": ("/shops", b'{"x": "far", "shop": "a"}', JSON, 422, "expected a number"),
    "a record": ("/shops", b'{"x": {"y": 1}, "shop": "a"}', JSON, 422, "expected a number"),
    "a list": ("/shops", b'{"x": [1, [2]], "shop": ["a"]}', JSON, 422, "expected"),
    "infinite": ("/shops", b'{"x": 1e999, "shop": "a"}', JSON, 422, "x:"),
    "huge": ("/shops", b'{"x": 1' + b"0" * 400 + b', "shop": "a"}', JSON, 422, "x:"),
    "no JSON": ("/shops", b"{", JSON, 422, "no JSON"),
    "deep": ("/shops", b"[" * 100_000, JSON, 422, "no JSON"),
    "a text": ("/shops", b'"x"', JSON, 422, "Expected a row"),
    "null": ("/shops", b"null", JSON, 422, "Expected a row"),
    "mixed": ("/shops", b'[{"x": 1, "shop": "a"}, 3]', JSON, 422, "row 1"),
    "another body": ("/shops", b"x", {"content-type": "text/html"}, 415, "application/json"),
    "malformed form": ("/shops", b"--x\r\nContent-", {"content-type": "multipart/form-data; boundary=x"}, 422, ""),
    "no boundary": ("/shops", b"--x", {"content-type": "multipart/form-data"}, 400, ""),
    "no table": ("/shops", b"\x00\x01", {"content-type": "application/vnd.apache.parquet"}, 422, ""),
    "empty table": ("/shops", b"", {"content-type": "text/csv"}, 422, ""),
    "a path": ("/pictures", b'{"image": "/etc/hostname"}', JSON, 422, "paths are not read"),
    "a path of a file": ("/pictures", json.dumps({"image": str(GOLDEN / "data" / "pictures" / "dark" / "00.png")}).encode(), JSON, 422, "paths are not read"),
    "a record with a path": ("/pictures", b'{"image": {"path": "/etc/hostname"}}', JSON, 422, "expected a file"),
    "an address": ("/pictures", b'{"image": "http://127.0.0.1/a.png"}', JSON, 422, "expected a file"),
    "too large": ("/pictures", b"x" * 2_000_001, JSON, 413, "bytes"),
    "missing message": ("/book/write", b'{"prompt": "\xc3\xbf"}', JSON, 422, "prompt"),
    "tokens": ("/book/write", b'{"tokens": -1}', JSON, 422, "tokens"),
    "temperature": ("/v1/completions", b'{"model": "book", "temperature": "hot"}', JSON, 400, "temperature"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told(server: Server, case: str) -> None:
    path, body, headers, status, said = BAD[case]

    answer = server.http.post(path, content=body, headers=headers)

    assert answer.status_code == status, answer.text
    assert said in answer.text and "Traceback" not in answer.text


def test_fields_beside_the_known_ones(server: Server) -> None:
    asked = server.http.post("/shops?others_ok=true", json={**ROW, "id": 7})
    table = server.http.post("/shops", content=b"id,x,shop\n7,1.5,a\n", headers={"content-type": "text/csv"})

    assert asked.status_code == table.status_code == 200 and asked.json()["sign"]


def test_an_empty_file_is_named(server: Server) -> None:
    answer = server.http.post("/pictures", files={"image": ("a.png", b"")})

    assert answer.status_code == 422 and answer.json()["problem"].startswith("image: expected a file, got an empty one")


def test_what_is_not_there_lists_what_is(server: Server) -> None:
    said = server.http.get("/shop").json()

    assert {"/shops", "/shops/feedback", "/health", "/"} <= {*said["there"]}
    body = server.http.get("/openapi.json").json()["paths"]["/shops/feedback"]["post"]["requestBody"]
    assert set(body["content"]["application/json"]["schema"]["properties"]) == {"row", "right", "thumb", "answer"}


def test_a_form_or_table_that_names_a_path(server: Server, tmp_path: Path) -> None:
    path = str(GOLDEN / "data" / "pictures" / "dark" / "00.png")

    form = server.http.post("/pictures", files={"image": (None, path)})
    table = server.http.post("/pictures", content=f"image\n{path}\n".encode(), headers={"content-type": "text/csv", "accept": "application/json"})

    assert form.status_code == 422 and "not a picture" in form.json()["problem"]
    assert "paths are not read" in table.json()[0]["problem"]


@pytest.mark.parametrize("kind", names("types"))
def test_no_type_takes_a_text_for_a_path(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    column_type, file = entry("types", kind)(), tmp_path / "secret.png"
    file.write_bytes(picture())
    opened: list[str] = []
    monkeypatch.setattr("mapsto.cells.Blob.read", lambda blob: opened.append(blob.path) or b"")

    for cell in (str(file), {"path": str(file)}, {"bytes": str(file)}, [str(file)], str(file).encode()):
        with contextlib.suppress(MapstoError, TypeError, ValueError):
            column_type.read(column_type.from_web(cell))

    assert not opened


def test_a_picture_bomb(server: Server) -> None:
    bomb = picture(2_000)

    answer = server.http.post("/pictures", files={"image": ("a.png", bomb)})

    assert answer.status_code == 422 and "4,000,000 pixels" in answer.json()["problem"]


def test_empty_batches_many_rows_and_strange_letters(server: Server) -> None:
    assert server.http.post("/shops", json=[]).json() == []
    many = server.http.post("/shops", json=[ROW] * 2_000, timeout=120).json()
    assert len(many) == 2_000 and many[1_999]["row"] == "row 1999" and not many[0]["problem"]
    assert server.http.post("/shops", json=[ROW] * 2_001).status_code == 413
    strange = server.http.post("/shops", content=b'{"x": NaN, "shop": "\\ud800\xf0\x9f\x8c\xb9\\u0000"}', headers=JSON)
    assert strange.status_code == 200 and "not seen in training" in strange.json()["note"]


def test_clients_that_hang_up(server: Server) -> None:
    port = server.socket.getsockname()[1]
    head = b"POST /pictures HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    for body in (b"", b'{"image": "', b"x" * 50_000):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as one:
                one.sendall(head + body)
    for junk in (b"\x16\x03\x01", b"GET / HTTP/9\r\n\r\n", b"POST /shops HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(junk)

    assert server.http.post("/shops", json=ROW).status_code == 200
    deadline = time.monotonic() + 20
    while any(server.service(name).current.batcher.inside for name in ("shops", "pictures")):
        assert time.monotonic() < deadline, "each request leaves"


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["", "a", "1,5", "data:,", "/etc/passwd"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "path", "bytes", "x"]), inner, max_size=2), max_leaves=5)
FIELDS = st.sampled_from(["x", "shop", "image", "prompt", "tokens", "temperature", "seed", "stop", "model", "messages", "row", "right", "thumb", "answer", "stream", "n"])


@given(path=st.sampled_from(["/shops", "/pictures", "/shops/explain", "/pictures/explain", "/book/write", "/v1/completions", "/v1/chat/completions", "/shops/feedback"]), body=st.dictionaries(FIELDS, VALUES, max_size=4) | st.lists(st.dictionaries(FIELDS, VALUES, max_size=3), max_size=3) | VALUES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_breaks_it(server: Server, path: str, body: Any) -> None:
    """As schemathesis does over /openapi.json, in few cases."""
    if isinstance(body, dict):
        body = {**body, "model": "book"} if path.startswith("/v1") else {"tokens": 3, **body} if path == "/book/write" else body
        body |= {"max_tokens": 3} if path.startswith("/v1") else {}

    answer = server.http.post(path, content=json.dumps(body).encode(), headers=JSON)

    assert answer.status_code < 500, answer.text


# --- what runs it ----------------------------------------------------------------------------------------------------------------


def test_requests_wait_for_the_next_worker(server: Server) -> None:
    worker = server.service("shops").current.worker
    before, deaths = worker.process, worker.deaths

    def ask(i: int) -> int:
        if i == 8:
            worker.kill()
        return server.http.post("/shops", json=ROW).status_code

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(24)))

    assert set(found) == {200}, "held, and answered by the next"
    assert worker.process != before and worker.deaths == deaths + 1


def test_a_request_that_ends_workers_is_refused_alone() -> None:
    asked: list[list[int]] = []

    class Deadly:
        """Ends with 666; has ended once before, while others waited."""

        async def ask(self, what: str, payloads: list[int]) -> list[int]:
            asked.append(payloads)
            if 666 in payloads or len(asked) == 1:
                raise Died(at_work=len(asked) > 1)
            return payloads

    async def answers() -> list[Any]:
        batcher = Batcher(Deadly(), Limits())
        waiting = [asyncio.ensure_future(batcher.answer(1, one)) for one in (1, 666, 3)]
        await asyncio.sleep(0)
        batcher.start()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        batcher.close()
        return found

    one, ended, three = asyncio.run(answers())

    assert (one, ended.status, three) == (1, 503, 3)
    assert asked == [[1, 666, 3], [1, 666, 3], [1], [666], [3]], "what only waited is asked again as it was, the rest alone, once"


def test_a_link_that_moves_fails_no_request(server: Server, run: Any, tmp_path: Path) -> None:
    service, link = server.service("shops"), server.service("shops").path
    other = tmp_path / "other"
    shutil.copytree(run.path, other)
    found: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            while not stop.is_set():
                found.append(http.post("/shops", json=ROW).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    new = link.with_name("new")
    new.symlink_to(other)
    new.replace(link)
    deadline = time.monotonic() + 60
    while service.current.real != other.resolve() and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree(other)  # what is served goes on without its folder
    found.append(server.http.post("/shops", json=ROW).status_code)
    stop.set()
    thread.join()

    assert service.current.real == other.resolve() and set(found) == {200} and len(found) > 3


def test_figures_and_the_log_hold_no_contents(server: Server, log: list[str]) -> None:
    server.http.post("/shops?secret=1", json={"x": 1, "shop": "hush"})

    text = server.http.get("/metrics").text
    line = json.loads(log[-2])

    assert 'mapsto_request_seconds_bucket{le="0.1",name="shops"}' in text and 'mapsto_unsure_share{name="shops"}' in text
    assert {"mapsto_queue", "mapsto_batch_rows_bucket", "mapsto_drift"} <= {row.split("{")[0] for row in text.splitlines()}
    assert set(line) == {"time", "client", "method", "path", "status", "ms", "bytes_in", "bytes_out"}
    assert "secret" not in "".join(log) and "hush" not in "".join(log)


def test_too_many_requests_come_back_later(run: Any) -> None:
    with Server({"shops": run.path}, Options(limits=Limits(queue=1)), workers=False) as server:
        server.service("shops").current.batcher.inside = 1
        answer = server.http.post("/shops", json=ROW)
        server.service("shops").current.batcher.inside = 0

    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1


def test_token_and_headers(run: Any) -> None:
    token = "a-token-of-sixteen-letters"
    with Server({"shops": run.path}, Options(token=token, origins=("https://a.example",), limits=Limits(seconds=0.3)), workers=False) as server:
        without, wrong = server.http.get("/shops"), server.http.get("/shops", headers={"authorization": "Bearer x"})
        right = server.http.get("/shops", headers={"authorization": f"Bearer {token}", "origin": "https://a.example"})
        page, ready = server.http.get("/"), server.http.get("/ready")
        with socket.create_connection(("127.0.0.1", server.socket.getsockname()[1])) as slow:
            head = f"POST /shops HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n"
            slow.sendall(head.encode())
            told = slow.recv(1000)

    assert (without.status_code, wrong.status_code, right.status_code) == (401, 401, 200)
    assert right.headers["access-control-allow-origin"] == "https://a.example"
    assert "default-src 'none'" in page.headers["content-security-policy"] and ready.status_code in (200, 503)
    assert b" 408 " in told or b" 503 " in told


def test_feedback_is_kept_so_that_extend_can_learn_it(server: Server) -> None:
    kept = server.service("shops").path.parent / "kept.jsonl"
    image = base64.b64encode(picture()).decode()

    right = server.http.post("/shops/feedback", json={"row": ROW, "right": {"sign": "up", "y": 1.5}})
    thumb = server.http.post("/pictures/feedback", json={"row": {"image": image}, "answer": {"category": "dark"}, "thumb": "up"})
    form = server.http.post("/shops/feedback", content=b"{}", headers={"content-type": "text/plain"})
    wrong = server.http.post("/shops/feedback", json={"row": ROW, "right": {"colour": 1}})

    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert (right.status_code, thumb.status_code, form.status_code, wrong.status_code) == (200, 200, 415, 422)
    assert rows[0] == {**ROW, "sign": "up", "y": 1.5} and rows[1]["category"] == "dark"
    assert (kept.parent / rows[1]["image"]).read_bytes() == picture()


def test_a_role_that_is_no_text() -> None:
    with pytest.raises(MapstoError, match="unknown role"):
        messages_of([{"role": {}, "content": "x"}])


# --- the page --------------------------------------------------------------------------------------------------------------------

PAGE = page.HERE
ASK = """(async () => {
  const until = async (found) => { for (;;) { const one = found(); if (one) return one; await new Promise((go) => setTimeout(go, 50)); } };
  await until(() => document.querySelector("#form button.main"));
  document.querySelector("#form").requestSubmit();
  await until(() => document.querySelector("#answer .value"));
  return JSON.stringify({ bars: document.querySelectorAll(".bars li").length, width: document.documentElement.scrollWidth, said: document.querySelector("#answer").textContent });
})()"""


@pytest.mark.skipif(browser.PROGRAM is None, reason="no chromium here")
def test_the_page_asks_and_answers(server: Server, tmp_path: Path) -> None:
    with browser.Browser(tmp_path) as opened:
        opened.ask("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
        opened.ask("Page.navigate", url=f"{server.url}/#shops")
        while not any(event["method"] == "Page.loadEventFired" for event in opened.events):
            opened.events.append(opened._hear())
        found = json.loads(opened.ask("Runtime.evaluate", expression=ASK, awaitPromise=True, returnByValue=True)["result"]["value"])
        requests = {event["params"]["request"]["url"] for event in opened.events if event["method"] == "Network.requestWillBeSent"}
        complaints = [event["params"] for event in opened.events if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]

    assert found["bars"] == 2 and found["width"] <= 390 and "9 times in 10 between" in found["said"]
    assert requests and all(one.startswith(server.url) for one in requests) and not complaints


def test_the_page_has_a_field_for_every_type_and_names_no_other_place() -> None:
    kinds = {entry("types", kind).web_kind for kind in names("types")} - {""} | {"text", "choice", "value", "number", "date"}
    texts = [file.read_text() for file in PAGE.rglob("*") if file.suffix in (".js", ".css", ".html")]

    assert kinds <= {file.stem for file in (PAGE / "fields").glob("*.js")}
    assert not [text for text in texts if "//" in text.replace("://127", "") and re.search(r"https?://|@import|url\(", text)]
    assert sum(map(len, texts)) < 50_000


# --- the command and the client --------------------------------------------------------------------------------------------------


def test_call(server: Server, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few, out = tmp_path / "few.csv", tmp_path / "answers.csv"
    few.write_text("x,shop\n1.5,a\nfar,b\n")

    assert main(["call", f"{server.url}/shops", str(few), "--out", str(out)]) == 0
    assert "1 row could not be read; the first: row 1: x: expected a number" in capsys.readouterr().err
    assert out.read_text().splitlines()[0].startswith("row,sign")
    assert main(["call", f"{server.url}/book", "--text", "the "]) == 0
    assert main(["call", f"{server.url}/shops", "--text", "x"]) == 2
    assert main(["call", "http://127.0.0.1:1/shops", str(few)]) == 2
    assert "cannot be reached" in capsys.readouterr().err


def test_client(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    client = mapsto.Client(f"{server.url}/pictures")

    assert client.predict(tmp_path / "a.png") == client.predict(picture())
    assert len(client.predict([picture(), tmp_path / "a.png"])) == 2
    with pytest.raises(MapstoError, match="Name one"):
        mapsto.Client(server.url).predict(ROW)


def test_a_port_in_use(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as place:
        assert main(["serve", str(run.path), "--port", str(place.getsockname()[1])]) == 2
    assert "--port 0 takes any" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "or a run (a folder"),
        (["health=RUN"], "cannot be an address"),
        (["RUN", "RUN"], "two runs are called"),
        (["RUN", "--wait", "soon"], "--wait 5ms"),
        (["RUN", "--queue", "0"], "queue"),
        (["RUN", "--token", "none"], "--token"),
        (["RUN", "--tls-key", "none"], "--tls-certificate"),
        (["RUN", "--keep-feedback", "a.txt"], ".jsonl"),
        (["RUN", "--port", "x"], "--port"),
    ],
)
def test_serve_refuses(run: Any, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *(word.replace("RUN", str(run.path)) for word in words)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert said in "\n".join(told) and len(told) <= 3
