"""Curves and bars as inline SVG, drawn here: no library, no script, no request. Colours are the page's css
variables (`--s1` …), so one drawing serves light, dark and paper.

Each figure is drawn for the width it will have, on a wide page and on a phone; the page holds both, and css
shows one, so letters are always of one size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mapsto.blocks import Bars, Line, Lines, Number
from mapsto.report.markup import Html, clean, joined, tag
from mapsto.report.scales import column, figure, finite, log_ticks, tick_text, ticks

WIDE, HALF, NARROW = 868, 420, 340  # the page's column, half of it, and a phone's
SQUARE = 380  # where both axes are the same
LETTER = 6.7  # pixels a letter of 12 takes, about
SERIES = 7  # colours there are
MOST_POINTS = 400  # a curve has no more: the screen has no more either
MOST_BARS = 40
SHAPES = (
    "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0",  # circle
    "M-3.2,-3.2h6.4v6.4h-6.4z",  # square
    "M0,-4.4L4.4,0L0,4.4L-4.4,0z",  # diamond
    "M0,-4.2L4,3L-4,3z",  # triangle
)
DASHES = (None, "7 4", "2 3.5", "9 3 2 3")  # told apart without colour too


def svg(width: float, height: float, label: str, *children: Html, **more: object) -> Html:
    """A figure that a screen reader can name."""
    return tag(
        "svg",
        tag("title", label),
        *children,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=float(width),
        role="img",
        aria_label=label,
        **more,
    )


def text(x: float, y: float, said: str, kind: str = "t", anchor: str | None = None, **more: object) -> Html:
    return tag("text", said, x=float(x), y=float(y), class_=kind, text_anchor=anchor, **more)


def shortened(label: str, pixels: float) -> str:
    """A label cut to what fits."""
    label, most = clean(label).replace("\n", " "), max(3, int(pixels / LETTER))
    return label if len(label) <= most else f"{label[: most - 1]}…"


# --- curves ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """The rectangle that holds the data, and how data comes to lie on it. x, y: the data's range; x on its
    logarithm where `log`."""

    left: float
    top: float
    right: float
    bottom: float
    x: tuple[float, float]
    y: tuple[float, float]
    log: bool = False

    def across(self, value: float) -> float:
        low, high, value = (math.log10(v) for v in (*self.x, value)) if self.log else (*self.x, value)
        return self.left + (self.right - self.left) * (value - low) / ((high - low) or 1)

    def up(self, value: float) -> float:
        low, high = self.y
        value = min(high, max(low, value))  # bands may reach beyond what can be
        return self.bottom - (self.bottom - self.top) * (value - low) / ((high - low) or 1)


def lines(block: Lines, width: int = WIDE) -> Html:
    """Curves with their bands, axes, marks and diagonal; the legend is the page's (`legend`)."""
    curves = [_thinned(line) for line in block.lines[:SERIES]]
    xs = [x for line in curves for x in finite(line.x) if x > 0 or not block.log_x]
    ys = [y for line in curves for side in (line.y, line.low, line.high) for y in finite(side)]
    width = min(width, SQUARE) if block.diagonal else width
    height = int(0.92 * width) if block.diagonal else 240 if width <= HALF else 270
    if not xs or not ys:
        return svg(
            width,
            60,
            block.caption or block.y,
            text(width / 2, 34, "nothing was measured here", anchor="middle"),
        )
    frame = _frame(block, xs, ys, width, height)
    drawn = [_grid(frame, block), *_marks(block, frame)]
    if block.diagonal:
        low, high = max(frame.x[0], frame.y[0]), min(frame.x[1], frame.y[1])
        drawn.append(
            tag(
                "path",
                d=_path([(frame.across(low), frame.up(low)), (frame.across(high), frame.up(high))]),
                class_="diagonal",
            )
        )
    drawn += [_band(line, i, frame) for i, line in enumerate(curves) if line.low and line.high]
    drawn += [_curve(line, i, frame) for i, line in enumerate(curves)]
    return svg(width, height, _told(block), *drawn)


def legend(names: Sequence[str], dashed: bool = True) -> Html:
    """A swatch and a name for each curve."""
    items = []
    for i, name in enumerate(names[:SERIES]):
        swatch = tag(
            "path",
            d="M1,6H25",
            class_=f"curve s{i + 1}",
            stroke_dasharray=DASHES[i % len(DASHES)] if dashed else None,
        )
        items.append(
            tag(
                "li",
                tag("svg", swatch, viewBox="0 0 26 12", width=26, height=12, aria_hidden="true"),
                tag("span", name),
            )
        )
    return tag("ul", *items, class_="legend")


def _told(block: Lines) -> str:
    """The figure in words: what against what, and where each curve begins and ends."""
    ends = []
    for line in block.lines[:SERIES]:
        known = [(x, y) for x, y in zip(line.x, line.y, strict=False) if y is not None and x is not None]
        if known:
            ends.append(
                f"{line.name} goes from {figure(known[0][1])} at {tick_text(known[0][0])} to"
                f" {figure(known[-1][1])} at {tick_text(known[-1][0])}"
            )
    return f"{block.y} against {block.x}: {'; '.join(ends)}"


def _frame(block: Lines, xs: Sequence[float], ys: Sequence[float], width: int, height: int) -> Frame:
    if block.diagonal and min(*xs, *ys) > -0.2 and max(*xs, *ys) < 1.2:  # shares, and bands around them
        x = y = (0.0, 1.0)
    else:
        x, y = (min(xs), max(xs)), _range(ys)
        if block.diagonal:
            x = y = _range([*xs, *ys])
    if x[0] == x[1]:
        x = (x[0] / 2, x[0] * 2) if block.log_x else (x[0] - 0.5, x[0] + 0.5)
    longest = max(len(tick_text(value)) for value in ticks(*y))
    top = 42 if block.marks else 30
    return Frame(12 + LETTER * longest, top, width - 16, height - 44, x, y, block.log_x)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From the lowest to the highest, with some air, and from zero where that is near."""
    low, high = min(values), max(values)
    if low == high and 0 <= low <= 1:  # a share, most likely, which has no other place
        return 0.0, 1.0
    if low == high:
        low, high = low - abs(low) / 10, high + abs(high) / 10
    air = 0.05 * (high - low)
    bottom = 0.0 if 0 <= low < 0.35 * high else low - air if low < 0 else max(0.0, low - air)
    return bottom, (1.0 if high <= 1 < high + air else high + air)


def _grid(frame: Frame, block: Lines) -> Html:
    parts = [text(0, 14, shortened(block.y, frame.right), "a")]
    for value in ticks(*frame.y, most=5 if frame.bottom < 220 else 6):
        y = frame.up(value)
        parts.append(
            tag(
                "path",
                d=f"M{frame.left:.1f},{y:.1f}H{frame.right:.1f}",
                class_="zero" if value == 0 else "grid",
            )
        )
        parts.append(text(frame.left - 8, y + 4, tick_text(value), anchor="end"))
    for value in (log_ticks if frame.log else ticks)(*frame.x, 5 if frame.right < HALF else 9):
        x = frame.across(value)
        parts.append(tag("path", d=f"M{x:.1f},{frame.bottom:.1f}v5", class_="tick"))
        parts.append(text(x, frame.bottom + 19, tick_text(value), anchor="middle"))
    return joined(
        [
            *parts,
            text(frame.right, frame.bottom + 37, shortened(block.x, frame.right - frame.left), "a", "end"),
        ]
    )


def _marks(block: Lines, frame: Frame) -> list[Html]:
    found = []
    for place, said in block.marks:
        if frame.x[0] <= place <= frame.x[1]:
            x = frame.across(place)
            near_end = x > (frame.left + frame.right) / 2
            found.append(tag("path", d=f"M{x:.1f},{frame.top - 16:.1f}V{frame.bottom:.1f}", class_="mark"))
            found.append(
                text(x - 6 if near_end else x + 6, frame.top - 7, said, "m", "end" if near_end else None)
            )
    return found


def _thinned(line: Line) -> Line:
    """Every so-manieth point where there are more than a screen shows; the last stays."""
    n = len(line.x)
    if n <= MOST_POINTS or not line.joined:
        return line
    kept = sorted({*range(0, n, math.ceil(n / MOST_POINTS)), n - 1})

    def thin(values: tuple[Number, ...]) -> tuple[Number, ...]:
        return tuple(values[i] for i in kept) if values else ()

    return Line(line.name, thin(line.x), thin(line.y), thin(line.low), thin(line.high), line.points)


def _places(line: Line, ys: Sequence[Number], frame: Frame) -> list[tuple[float, float] | None]:
    """Where the points lie; None where one of the two is no number."""

    def known(value: Number) -> bool:
        return value is not None and math.isfinite(value)

    return [
        (
            (frame.across(float(x)), frame.up(float(y)))  # type: ignore[arg-type]
            if known(x) and known(y) and (x > 0 or not frame.log)  # type: ignore[operator]
            else None
        )
        for x, y in zip(line.x, ys, strict=False)
    ]


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    """Points joined; a gap where one is missing."""
    parts, pen = [], "M"
    for place in places:
        if place is None:
            pen = "M"
        else:
            parts.append(f"{pen}{place[0]:.1f},{place[1]:.1f}")
            pen = "L"
    return "".join(parts)


def _band(line: Line, number: int, frame: Frame) -> Html:
    upper, lower = _places(line, line.high, frame), _places(line, line.low, frame)
    known = [(a, b) for a, b in zip(upper, lower, strict=True) if a and b]
    edge = _path([a for a, _ in known] + [b for _, b in reversed(known)])
    return tag("path", d=f"{edge}z", class_=f"band s{number + 1}") if known else Html("")


def _curve(line: Line, number: int, frame: Frame) -> Html:
    places = _places(line, line.y, frame)
    if not line.joined:
        return _cloud(places, number)
    kind, alone = f"s{number + 1}", sum(place is not None for place in places) == 1
    drawn = [
        tag("path", d=_path(places), class_=f"curve {kind}", stroke_dasharray=DASHES[number % len(DASHES)])
    ]
    if line.points or alone:
        for place, x, y in zip(places, line.x, line.y, strict=False):
            if place is not None:
                drawn.append(_dot(place, number, f"{line.name}: {figure(y)} at {figure(x)}"))
    return joined(drawn)


def _cloud(places: Sequence[tuple[float, float] | None], number: int) -> Html:
    """Dots as one path: a thousand of them are 20 kB in place of 200."""
    dots = "".join(f"M{place[0]:.1f},{place[1]:.1f}h0" for place in places if place is not None)
    look = "stroke-width:5;stroke-linecap:round;opacity:.3"
    return tag("path", d=dots, class_=f"curve s{number + 1}", style=look)


def _dot(place: tuple[float, float], number: int, said: str) -> Html:
    where = f"translate({place[0]:.1f},{place[1]:.1f})"
    return tag(
        "path",
        tag("title", said),
        d=SHAPES[number % len(SHAPES)],
        transform=where,
        class_=f"dot s{number + 1}",
    )


# --- bars -----------------------------------------------------------------------------------------


def bars(block: Bars, width: int = WIDE) -> Html:
    """A bar a label from zero on, its interval as a whisker, its value in figures at the end of the row. On a
    phone labels stand above their bars."""
    shown, narrow = list(range(min(len(block.values), MOST_BARS))), width <= NARROW
    row = 40 if narrow else 30
    ends = finite([*block.values, *block.low, *block.high])
    if not ends:
        return svg(
            width,
            60,
            block.caption or block.x,
            text(width / 2, 34, "nothing was measured here", anchor="middle"),
        )
    numbers = column([block.values[i] for i in shown])
    left = 1.0 if narrow else min(0.34 * width, 14 + LETTER * max(len(clean(block.labels[i])) for i in shown))
    right = width - 14 - LETTER * 1.1 * max(map(len, numbers))
    low, high = min(0.0, *ends), max(0.0, *ends)
    frame = Frame(left, 4, right, 4 + row * len(shown), (low, high if high > low else low + 1), (0, 1))
    drawn = [_bars_axis(frame, block, narrow)]
    for place, i in enumerate(shown):
        drawn.append(_bar(block, i, frame, 4 + row * place, row, narrow))
        drawn.append(text(width - 2, 4 + row * place + (28 if narrow else 19.5), numbers[place], "v", "end"))
    named = "; ".join(f"{block.labels[i]} {numbers[place]}" for place, i in enumerate(shown))
    return svg(width, frame.bottom + 46, f"{block.x}: {named}", *drawn)


def _bars_axis(frame: Frame, block: Bars, narrow: bool) -> Html:
    parts = []
    for value in ticks(*frame.x, most=4 if narrow else 6):
        x = frame.across(value)
        if (
            value or frame.x[0] < 0 or not narrow
        ):  # where labels stand above bars, the line at the left would run through them
            parts.append(
                tag(
                    "path",
                    d=f"M{x:.1f},{frame.top:.1f}V{frame.bottom + 4:.1f}",
                    class_="zero" if value == 0 else "grid",
                )
            )
        parts.append(text(x, frame.bottom + 19, tick_text(value), anchor="start" if x < 12 else "middle"))
    return joined(
        [
            *parts,
            text(frame.right, frame.bottom + 37, shortened(block.x, frame.right - frame.left), "a", "end"),
        ]
    )


def _bar(block: Bars, i: int, frame: Frame, top: float, row: int, narrow: bool) -> Html:
    value, label = block.values[i], block.labels[i]
    column_type = frame.right if narrow else frame.left - 12
    named = text(
        0 if narrow else frame.left - 10,
        top + (13 if narrow else 19.5),
        shortened(label, column_type),
        "l",
        None if narrow else "end",
    )
    if value is None or not math.isfinite(value):
        return named
    middle = top + (26 if narrow else row / 2)
    kind = "bar" if not block.marked or i in block.marked else "bar other"
    side = sorted((frame.across(0.0), frame.across(float(value))))
    drawn = tag(
        "rect", x=side[0], y=middle - 8, width=max(1.0, side[1] - side[0]), height=16.0, rx=2, class_=kind
    )
    said = f"{label}: {figure(value)}"
    whisker = Html("")
    if i < len(block.low) and i < len(block.high) and len(finite((block.low[i], block.high[i]))) == 2:
        low, high = (frame.across(float(end)) for end in (block.low[i], block.high[i]))  # type: ignore[arg-type]
        ends = (
            f"M{low:.1f},{middle:.1f}H{high:.1f}M{low:.1f},{middle - 4:.1f}v8M{high:.1f},{middle - 4:.1f}v8"
        )
        whisker = joined([tag("path", d=ends, class_="halo"), tag("path", d=ends, class_="whisker")])
        said += f" ({figure(block.low[i])} – {figure(block.high[i])})"
    return joined([named, tag("g", tag("title", said), drawn, whisker)])


def both(draw: Callable[[int], Html], width: int = WIDE) -> Html:
    """The figure twice: for a wide page and for a phone; css shows one."""
    return joined([tag("div", draw(width), class_="wide"), tag("div", draw(NARROW), class_="narrow")])
