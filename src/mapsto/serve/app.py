"""The application: addresses put together from what is served.

GET  /NAME             what it is: fields, answers, figures        GET  /health /ready /metrics /openapi.json
POST /NAME             answers to rows                             GET  /       the page
POST /NAME/explain     what moved the answer to a row              POST /v1/… as OpenAI's clients speak
POST /NAME/write       a text, written                             POST /NAME/feedback the right answer
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mapsto.config import VERSION
from mapsto.errors import MapstoError, did_you_mean
from mapsto.serve import openai, page, requests, schema
from mapsto.serve.feedback import Feedback
from mapsto.serve.guards import Guard
from mapsto.serve.limits import Limits, Refused
from mapsto.serve.measured import Measured
from mapsto.serve.requests import FORM, JSON, KINDS, TABLES, Rows
from mapsto.serve.served.base import Wish
from mapsto.serve.service import Service, Visit

LEFT = 499  # the client went away; nobody hears of it


@dataclass(frozen=True)
class Options:
    """How a server is set up. urls: hosts that cells may be fetched from, "all", or "": none; token: that
    every request must bring; origins: pages elsewhere that may ask; feedback: where right answers
    are kept."""

    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    token: str | None = None
    origins: Sequence[str] = ()
    urls: str = ""
    watch: bool = False
    feedback: Path | None = None
    threads: int = 0
    trusted: Sequence[str] = ()
    log: Callable[[str], None] | None = None
    emit: Callable[[str], None] = lambda line: None


def app_of(paths: Mapping[str, Path], options: Options = Options()) -> Any:
    """The ASGI application of {name: folder}. Its workers start with its lifespan. MapstoError: a folder
    cannot be served."""
    measured = Measured()
    services = {
        name: Service(name, path, options.limits, measured, options.threads, options.trusted)
        for name, path in paths.items()
    }

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for service in services.values():
            service.start()
        watching = [
            asyncio.create_task(one.watch(options.emit)) for one in services.values() if options.watch
        ]
        yield
        for task in watching:
            task.cancel()
        await asyncio.gather(*(service.close() for service in services.values()))

    app = FastAPI(
        title="mapsto", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.services, app.state.measured = services, measured
    _errors(app)
    _common(app, services, measured)
    page.add(app)
    openai.add(app, services)
    feedback = Feedback(options.feedback) if options.feedback else None
    for service in services.values():
        _served(app, service, options, feedback)
    if options.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(options.origins), allow_methods=["*"], allow_headers=["*"]
        )
    return Guard(app, options.limits, options.token, options.log, measured)


def _errors(app: FastAPI) -> None:
    """Every failure is {"problem": what was expected, what came, what to do}."""

    @app.exception_handler(Refused)
    async def refused(request: Request, problem: Refused) -> Response:
        headers = {"Retry-After": str(problem.seconds)} if problem.seconds else {}
        return JSONResponse({"problem": str(problem)}, problem.status, headers)

    @app.exception_handler(MapstoError)
    async def wrong(request: Request, problem: MapstoError) -> Response:
        return JSONResponse({"problem": str(problem)}, 422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, problem: HTTPException) -> Response:
        said = {"problem": str(problem.detail)}
        if problem.status_code == 404:
            there = [getattr(route, "path", "") for route in app.routes]
            said = {"problem": f"{request.url.path[:200]}: there is nothing here.", "there": sorted({*there})}
        return JSONResponse(said, problem.status_code, problem.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, problem: RequestValidationError) -> Response:
        told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problem.errors()]
        return JSONResponse({"problem": "\n".join(told[:3])}, 422)

    @app.exception_handler(ClientDisconnect)
    async def left(request: Request, problem: ClientDisconnect) -> Response:
        return Response(status_code=LEFT)


def _common(app: FastAPI, services: Mapping[str, Service], measured: Measured) -> None:
    @app.get("/health", summary="Is the server there?")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", summary="Can every name be asked?", responses={503: schema.refusals()[503]})
    async def ready() -> Response:
        waiting = [name for name, service in services.items() if not service.current.worker.ready]
        if waiting:
            return JSONResponse({"problem": f"not ready yet: {', '.join(waiting)}"}, 503)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(measured.text(), media_type="text/plain; version=0.0.4")

    @app.get("/names", summary="What is served, by name")
    async def names() -> dict[str, Any]:
        return {name: {"signature": one.current.description["signature"]} for name, one in services.items()}

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return app.openapi()


def _served(app: FastAPI, service: Service, options: Options, feedback: Feedback | None) -> None:
    """The addresses of one name."""
    name, limits = service.name, options.limits
    description = service.current.description
    note = _noted(name)

    @app.get(f"/{name}", summary=description["signature"], dependencies=note)
    async def describe() -> dict[str, Any]:
        current = service.current
        said = {"path": current.real.name, "limits": vars(limits), "feedback": feedback is not None}
        return {"name": name, **current.description, **said}

    @app.get(f"/{name}/examples", summary="rows of its own test data", dependencies=note)
    async def examples() -> list[dict[str, Any]]:
        return await service.current.examples()

    if description["writes"]:
        _writes(app, service, description, note)
        return

    @app.post(
        f"/{name}",
        summary="answers to rows",
        dependencies=note,
        openapi_extra=schema.asked_rows(description, limits),
        responses=schema.told_rows(description),
    )
    async def answer(
        request: Request, probabilities: bool = False, missing_ok: bool = False, others_ok: bool = False
    ) -> Response:
        _refuse_options(request, "probabilities", "missing_ok", "others_ok")
        async with service.visit() as visit:
            rows = await _rows(request, visit, options)
            size = request.headers.get("content-length", "")
            size = int(size) if size.isdigit() else options.limits.most_bytes
            wish = Wish(probabilities, missing_ok, others_ok or rows.form != "json")
            answers = await visit.answers(rows, wish, size)
        return _response(answers, rows, request, visit)

    if description["explains"]:
        _explains(app, service, options, note)
    if feedback is not None:
        _keeps(app, service, feedback, note)


def _explains(app: FastAPI, service: Service, options: Options, note: list[Any]) -> None:
    @app.post(
        f"/{service.name}/explain",
        summary="what moved the answer to a row",
        dependencies=note,
        openapi_extra=schema.asked_row(service.current.description),
        responses=schema.refusals(),
    )
    async def explain(request: Request) -> Response:
        _refuse_options(request)
        async with service.visit() as visit:
            rows = await _rows(request, visit, options)
            if not rows.single:
                raise Refused(422, "expected one row, got several.\nAsk of one at a time.")
            return JSONResponse(await visit.explain(rows.rows[0]))


def _noted(name: str) -> list[Any]:
    """Marks a request as one to this name, for the figures."""
    from fastapi import Depends

    def mark(request: Request) -> None:
        request.scope["service"] = name

    return [Depends(mark)]


def _writes(app: FastAPI, service: Service, description: Mapping[str, Any], note: list[Any]) -> None:
    @app.post(
        f"/{service.name}/write",
        summary="a text, written",
        dependencies=note,
        openapi_extra=schema.asked_text(description),
        responses=schema.refusals(),
    )
    async def write(request: Request) -> Response:
        asked = await object_of(request)
        if not asked.pop("stream", False):
            async with service.visit() as visit:
                return JSONResponse({"text": "".join([piece async for piece in visit.write(asked)])})
        return StreamingResponse(await openai.events(service, asked, _piece), media_type="text/event-stream")


def _piece(text: str | None) -> dict[str, Any]:
    return {"done": True} if text is None else {"text": text}


def _keeps(app: FastAPI, service: Service, feedback: Feedback, note: list[Any]) -> None:
    @app.post(
        f"/{service.name}/feedback",
        summary="the right answer to a row",
        dependencies=note,
        openapi_extra=schema.asked_feedback(service.current.description),
        responses=schema.refusals(),
    )
    async def keep(request: Request) -> dict[str, str]:
        if not request.headers.get("content-type", "").startswith(JSON):
            raise Refused(415, f"expected {JSON}.")  # a form could be sent by any page that somebody opens
        asked = await object_of(request)
        await asyncio.to_thread(feedback.add, service.current, asked)
        return {"status": "kept"}


# ---- bodies ----


def _refuse_options(request: Request, *known: str) -> None:
    """Refused (422): an option in the address that is none."""
    if unknown := [name for name in request.query_params if name not in known]:
        raise Refused(422, f"?{unknown[0][:80]} is no option.\n{did_you_mean(unknown[0][:80], known)}")


async def object_of(request: Request) -> dict[str, Any]:
    """A body that is one JSON object. Refused (422): another."""
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(422, "expected a JSON object.")
    return found


async def _rows(request: Request, visit: Visit, options: Options) -> Rows:
    """The rows of a body. Refused: it is none that is known (415), or cannot be read (422)."""
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    inputs, limits, current = visit.current.inputs, options.limits, visit.current
    if kind == JSON:
        rows = requests.of_json(await request.body(), inputs, limits)
    elif kind == FORM:
        parts = await _parts(request, limits)
        small = sum(len(data) for *_, data in parts)
        rows = await visit.soon(small, requests.of_form, parts, inputs, limits)
    elif kind in TABLES:
        rows = await visit.in_thread(requests.of_table, await request.body(), TABLES[kind], limits)
    else:
        raise Refused(415, f"expected a body of {KINDS}, got {kind or 'none'}.")
    if options.urls and current.files:
        fetched = await visit.in_thread(
            requests.with_addresses, rows.rows, current.files, options.urls, limits
        )
        rows = replace(rows, rows=fetched)
    return rows


async def _parts(request: Request, limits: Limits) -> list[tuple[str, str | None, bytes]]:
    found: list[tuple[str, str | None, bytes]] = []
    most = limits.most_rows * 2
    async with request.form(max_files=most, max_fields=most, max_part_size=limits.most_bytes) as form:
        for field, value in form.multi_items():
            if isinstance(value, str):
                found.append((field, None, value.encode("utf-8", "surrogatepass")))
            else:
                found.append((field, value.filename, await value.read()))
    return found


def _response(answers: list[dict[str, Any]], rows: Rows, request: Request, visit: Visit) -> Response:
    """As the rows came: one answer, a list, or a table; JSON where that is asked for."""
    wants = request.headers.get("accept", "")
    empty = dict.fromkeys(answers[0] if answers else visit.current.description["columns"])
    for before, where, why in reversed(rows.bad):  # lines that are no rows stand behind their piece
        answers.insert(before, {**empty, "row": where, "note": "", "problem": " ".join(why.split())})
    if rows.form in (".csv", ".tsv") and JSON not in wants:
        served, file = visit.current.served, io.StringIO()
        names = list(answers[0]) if answers else visit.current.description["columns"]
        table = csv.DictWriter(
            file, names, lineterminator="\n", delimiter="," if rows.form == ".csv" else "\t"
        )
        table.writeheader()
        table.writerows(served.flat(answer) for answer in answers)
        return Response(file.getvalue(), media_type="text/csv")
    if rows.single and answers[0].get("problem"):
        raise Refused(422, answers[0]["problem"])
    found = answers[0] if rows.single else answers
    return Response(json.dumps(found, allow_nan=False), media_type=JSON)
