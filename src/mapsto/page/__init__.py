"""The page that a run is tried on: index.html, page.css, page.js, and in `fields/` a file of js for each kind
of field (`DataType.web_field`'s "kind"). A later type adds its file there and nothing else. Nothing is
fetched from elsewhere, and there is no build step: what lies here is what a browser gets.

asking.js is where answers come from: the server that sent the page (`mapsto serve`). A page that answers by
itself (`mapsto export --to web`) has another file of that name, with the same functions.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
INDEX = "index.html"
SHOWN = ("*.css", "*.js", "*.svg", "*/*.js")  # what a browser is given beside it
