"""The page at /, as `mapsto.page` holds it."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from mapsto.page import HERE, INDEX, SHOWN


class Files(StaticFiles):
    """The page's files, but no Python."""

    def lookup_path(self, path: str) -> tuple[str, object]:
        shown = any(Path(path).match(pattern) for pattern in SHOWN)
        return super().lookup_path(path) if shown else ("", None)


def add(app: FastAPI) -> None:
    app.mount("/page", Files(directory=HERE), name="page")

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(HERE / INDEX, media_type="text/html")
