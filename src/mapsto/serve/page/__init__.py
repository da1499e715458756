"""The page at /: index.html, page.css, page.js, and in `fields/` a file of js for each kind of field
(`DataType.web_field`'s "kind"). A later type adds its file there and nothing else. Nothing is fetched from
elsewhere, and there is no build step: what lies here is what a browser gets.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

HERE = Path(__file__).parent
SHOWN = ("*.css", "*.js", "*.svg", "*/*.js")


class Files(StaticFiles):
    """This folder's files, but no Python."""

    def lookup_path(self, path: str) -> tuple[str, object]:
        shown = any(Path(path).match(pattern) for pattern in SHOWN)
        return super().lookup_path(path) if shown else ("", None)


def add(app: FastAPI) -> None:
    app.mount("/page", Files(directory=HERE), name="page")

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(HERE / "index.html", media_type="text/html")
