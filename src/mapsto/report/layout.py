"""What of a page stands open and what is folded, so that it can be read through: of every question the answer
and its first figure, of the others only the answer where they would make the page too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mapsto.blocks import Bars, Block, Code, Gallery, Lines, Matrix, Paragraph, Section, Table
from mapsto.report.drawn import PICTURES, TEXTS, drawn
from mapsto.report.frame import ROOMY, Limits
from mapsto.report.markup import Html, joined, prose, tag
from mapsto.report.rows import as_table
from mapsto.report.tables import FOLDED, SHOWN

TALLEST, HEAD = 7_900, 680  # pixels of a page 1280 wide, and of its head
TITLE, LINE, SUMMARY = (
    106,
    26,
    35,
)  # pixels of a title with margins, of a line of an answer, of a fold
NOTHING = Html("")
LETTERS = 100  # of a line of text there
KINDS: dict[type, str] = {
    Table: "a table", Lines: "curves", Bars: "bars", Matrix: "a matrix", Gallery: "rows", Code: "lines",
}  # fmt: skip
NAMED, LONGEST = 2, 70  # folded blocks whose captions are named, and letters of each


@dataclass(frozen=True)
class Chapter:
    """A part of the page. name: its place in addresses; body: what stands below the title and the
    one-sentence answer; more: what is folded, as `hint` names it; sign: "good", "look" or "", as `Section`
    has it; height: about how many pixels its body takes."""

    name: str
    title: str
    answer: str
    body: Html
    group: str = ""
    sign: str = ""
    more: Html = NOTHING
    hint: str = ""
    height: int = 0

    def shut(self) -> Chapter:
        """With the answer alone in sight."""
        if not self.body:
            return self
        hint = self.hint if self.more and not self.height else "Show"
        return replace(self, body=Html(""), more=joined([self.body, self.more]), hint=hint, height=0)


def chapter(section: Section, limits: Limits = ROOMY, group: str = "", lead: int | None = None) -> Chapter:
    """A section as a part of a page. lead: so many of its blocks stand open, the others are folded; None:
    all."""
    blocks = section.blocks
    cut = len(blocks) if lead is None else lead
    return Chapter(
        section.name,
        section.title,
        section.headline,
        joined(drawn(block, limits) for block in blocks[:cut]),
        group,
        section.sign,
        joined(drawn(block, limits) for block in blocks[cut:]),
        hint(blocks[cut:]),
        sum(map(height, blocks[:cut])),
    )


def first_figure(blocks: Sequence[Block]) -> int:
    """How many blocks stand before the second figure: the first one, and the sentences that lead to it."""
    figures = [i for i, block in enumerate(blocks) if not isinstance(block, Paragraph)]
    return figures[0] + 1 if figures else len(blocks)


def fitted(chapters: Sequence[Chapter], others: Sequence[Chapter] = ()) -> list[Chapter]:
    """Chapters that together with the head and the others are no taller than a page may be: figures are
    folded from the last on, where nothing calls for a look first."""
    found = list(chapters)
    taken = HEAD + sum(one.height + _fixed(one) for one in [*found, *others])
    order = [i for i in reversed(range(len(found))) if found[i].sign != "look"]
    order += [i for i in reversed(range(len(found))) if found[i].sign == "look"]
    for i in order:
        if taken <= TALLEST:
            break
        taken -= found[i].height
        found[i] = found[i].shut()
    return found


def _fixed(one: Chapter) -> int:
    """Pixels of what is always in sight: title, answer, fold."""
    return TITLE + LINE * (1 + len(one.answer) // LETTERS) + SUMMARY


def hint(blocks: Sequence[Block]) -> str:
    """What is folded: by the first words of its captions, else by its kind."""
    names = [_first_words(block) for block in blocks if not isinstance(block, Paragraph)]
    names = list(dict.fromkeys(filter(None, names)))
    if not names:
        return "More" if blocks else ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"More: {'; '.join(names[:NAMED])}{more}"


def _first_words(block: Block) -> str:
    words = getattr(block, "caption", "").split(". ")[0].split("; ")[0].rstrip(".")
    if not words:
        return KINDS[type(block)]
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1].rsplit(' ', 1)[0]} …"


def height(block: Block) -> int:
    """About how many pixels a block takes on a page 1280 wide."""
    caption = 50 if getattr(block, "caption", "") else 16
    if isinstance(block, Paragraph):
        return sum(26 * (1 + len(line) // LETTERS) for line in block.text.split("\n")) + 14
    if isinstance(block, Code):
        return sum(22 * (1 + len(line) // LETTERS) for line in block.text.split("\n")) + 60
    if isinstance(block, Bars):
        return 30 * len(block.values) + 46 + caption
    if isinstance(block, Lines):
        return (350 if block.diagonal else 300) + caption
    if isinstance(block, Matrix):
        return 90 + 40 * min(len(block.rows), 15) + caption
    if isinstance(block, Gallery):
        rows = as_table(block)
        if rows is not None:
            return height(rows)
        wide = any(item.pieces or item.texts for item in block.items)
        count = min(len(block.items), TEXTS if wide else PICTURES)
        return (count + 1) // 2 * 170 if wide else (count + 5) // 6 * 200
    lines = len(block.rows) if len(block.rows) <= FOLDED else SHOWN
    return 34 + 31 * lines + caption


def folded(one: Chapter) -> Html:
    """What of a chapter is on demand."""
    return tag("details", tag("summary", prose(one.hint or "More")), one.more) if one.more else Html("")
