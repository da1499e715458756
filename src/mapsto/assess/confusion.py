"""What is taken for what: a confusion matrix and the most confused pairs; for numbers, where predictions lie
beside the truth. Each kind of answer says it in its way (`Output.confusion`)."""

from __future__ import annotations

from mapsto.assess.base import View
from mapsto.blocks import Section
from mapsto.outputs.base import Output

TITLE = "What is taken for what?"
OF_NUMBERS = "How far are its answers from the truth?"  # where no answer is simply right or wrong


def asks(view: View) -> bool:
    return bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    for slot in _outputs(view):
        predicted, target, _ = view.of(slot)
        confusion = view.output(slot).confusion
        assert confusion is not None
        headline, found, figures[slot] = confusion(predicted, target)
        headlines.append(view.titled(slot, headline))
        blocks += view.captioned(slot, found)
    title = OF_NUMBERS if all(view.output(slot).graded for slot in figures) else TITLE
    return Section("confusion", title, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    return view.outputs(_can_be_confused)


def _can_be_confused(output: Output) -> bool:
    return output.confusion is not None
