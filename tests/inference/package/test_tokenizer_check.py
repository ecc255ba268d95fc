"""tokenizer_check: what a real tokenizer is made of is taken, what could do harm is named."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from inference.package import tokenizer_check
from inference.package.tokenizer_check import check_tokenizer
from tests.support.tiny_checkpoints import byte_tokenizer

Json = dict[str, Any]


def text(**parts: Any) -> bytes:
    return json.dumps(byte_tokenizer() | parts).encode()


def check(because: str, **parts: Any) -> None:
    """A tokenizer with these parts is refused, and the reason says so."""
    with pytest.raises(ValueError, match=because):
        check_tokenizer(text(**parts))


def sequence(*steps: Json, key: str = "normalizers") -> Json:
    return {"type": "Sequence", key: list(steps)}


def replace(pattern: str, content: str) -> Json:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def split(regex: str) -> Json:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}

REAL: dict[str, Json] = {
    "byte level": {},
    "one split": {
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": sequence(split(r"\p{N}{1,3}"), key="pretokenizers"),
    },
    "digits": {
        "pre_tokenizer": sequence({"type": "Digits"}, {"type": "ByteLevel"}, key="pretokenizers")
    },
    "sentence pieces": {
        "normalizer": sequence({"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")),
        "pre_tokenizer": None,
        "decoder": sequence(
            replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}, key="decoders"
        ),
    },
    "metaspace": {"pre_tokenizer": METASPACE, "decoder": METASPACE},
}


@pytest.mark.parametrize("name", REAL)
def test_what_real_tokenizers_are_made_of(name: str) -> None:
    check_tokenizer(text(**REAL[name]))


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer", "post_processor", "decoder"])
def test_a_type_that_is_not_on_the_list(part: str) -> None:
    check(f"its {part} has the type 'Mystery'", **{part: {"type": "Mystery"}})


def test_a_type_that_is_not_on_the_list_inside_of_others() -> None:
    check(
        "has the type 'Precompiled'",
        normalizer=sequence(sequence({"type": "NFC"}, {"type": "Precompiled"})),
    )


def test_a_part_without_a_type() -> None:
    check("has the type None", decoder={})


def test_a_decoder_is_no_normalizer() -> None:
    check("its normalizer has the type 'Fuse'", normalizer={"type": "Fuse"})


def test_a_replacement_that_grows_a_thousandfold_three_times() -> None:
    bomb = sequence(replace("a", "b" * 1000), replace("b", "c" * 1000), replace("c", "d" * 1000))
    check("more than 16 times as long", normalizer=bomb)
    check("more than 16 times as long", decoder=sequence(*bomb["normalizers"], key="decoders"))


def test_a_replacement_that_grows_by_small_steps() -> None:
    steps = [replace(str(index), str(index + 1) * 2) for index in range(5)]
    check("more than 16 times", normalizer=sequence(*steps))
    check_tokenizer(text(normalizer=sequence(*steps[:4])))


def test_a_replacement_of_nothing() -> None:
    check("more than 16 times", normalizer=replace("", "x" * 20))


def test_a_replacement_of_whatever_a_pattern_matches() -> None:
    bomb = {"type": "Replace", "pattern": {"Regex": "a*"}, "content": "x" * 20}
    check("more than 16 times", normalizer=bomb)


def test_something_long_in_front_of_every_text() -> None:
    check("more than 16 times", normalizer={"type": "Prepend", "prepend": "x" * 1000})


def test_a_pattern_that_backtracks_for_ever() -> None:
    check("not safe to run: a group repeats", pre_tokenizer=split("(a+)+$"))
    check("not safe", normalizer={"type": "Replace", "pattern": {"Regex": "(a*)*"}, "content": ""})


def test_a_pattern_that_is_none() -> None:
    check("a pattern that is none", pre_tokenizer={"type": "Split", "pattern": 3})


def test_more_parts_than_any_tokenizer_has() -> None:
    check("more than 16 parts", normalizer=sequence(*[{"type": "NFC"}] * 17))


def test_steps_that_are_none() -> None:
    check("has normalizers that are none", normalizer={"type": "Sequence", "normalizers": [3]})


def changed(change: Callable[[Json], object]) -> Json:
    model = copy.deepcopy(byte_tokenizer()["model"])
    change(model)
    return model


def test_a_model_that_is_not_on_the_list() -> None:
    check(
        "its model has the type 'Mystery'",
        model=changed(lambda model: model.update(type="Mystery")),
    )


def test_a_model_that_is_random() -> None:
    check("a dropout of 0.1", model=changed(lambda model: model.update(dropout=0.1)))


@pytest.mark.parametrize(
    ("limit", "model"),
    [
        ("MAX_TOKENS", {"vocab": [["a", 0]] * ((1 << 20) + 1)}),
        ("MAX_MERGES", {"vocab": {}, "merges": [0] * ((1 << 21) + 1)}),
        ("MAX_TOKEN_LENGTH", {"vocab": {"a" * 5000: 0}}),
    ],
)
def test_a_vocabulary_larger_than_any(limit: str, model: Json) -> None:
    check(f"length <= {getattr(tokenizer_check, limit)}", model={"type": "BPE"} | model)


def test_an_added_token_without_a_text() -> None:
    check("length >= 1", added_tokens=[{"id": 0, "content": ""}])


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"model":' * 100_000]
)
def test_what_is_no_tokenizer(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_tokenizer(content)


def test_a_part_that_is_nested_without_end() -> None:
    deep = b'{"type":"Sequence","normalizers":[' * 100_000
    with pytest.raises(ValueError, match=r"."):
        check_tokenizer(b'{"model":{"vocab":{}},"normalizer":' + deep)


def test_a_part_that_is_nested_deeper_than_any() -> None:
    part: Json = {"type": "NFC"}
    for _ in range(40):
        part = sequence(part)
    check("more than 16 parts", normalizer=part)
