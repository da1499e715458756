"""Markup that cannot be broken by what stands in the data: text is escaped unless it was made here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from mapsto.report.scales import typeset

# Letters that no page may hold: controls, and halves of surrogate pairs. They are shown as a replacement
# letter.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_CODE = re.compile(r"`([^`\n]+)`")


class Html(str):
    """Text that is markup already."""


def clean(text: Any) -> str:
    """Text without letters that a page cannot hold."""
    return _UNSHOWABLE.sub("\ufffd", str(text))


def safe(value: Any) -> Html:
    """Markup as it is, anything else escaped."""
    return value if isinstance(value, Html) else Html(html.escape(clean(value)))


def joined(parts: Iterable[Any], between: str = "") -> Html:
    """Parts behind each other, each made safe."""
    return Html(safe(between).join(safe(part) for part in parts))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element. `class_` is class, `stroke_width` is stroke-width; True is an attribute without value; None
    and False leave it out."""
    written = "".join(
        _attribute(key, value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if not children:
        return Html(f"<{name}{written}/>" if name in VOID else f"<{name}{written}></{name}>")
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


VOID = frozenset(("br", "hr", "img", "meta", "link", "rect", "line", "circle", "path"))


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
    if value is True:
        return f" {name}"
    return f' {name}="{_short(value) if isinstance(value, float) else safe(value)}"'


def _short(value: float) -> str:
    """A coordinate: a tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0")


def prose(text: str) -> Html:
    """A sentence with `names` in backticks set as code; its numbers as people write them."""
    return joined(
        tag("code", part, class_="short" if len(part) < 24 else None) if i % 2 else typeset(part)
        for i, part in enumerate(_CODE.split(clean(text)))
    )


def data_text(text: Any, most: int = 300) -> Html:
    """Text out of the data: isolated, so that right-to-left letters do not turn what stands beside them, and
    cut to `most` letters."""
    shown = clean(text)
    return tag(
        "bdi",
        shown if len(shown) <= most else f"{shown[: most - 1]}…",
        title=None if len(shown) <= most else f"{len(shown):,} letters",
    )
