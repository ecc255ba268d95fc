"""dialects: what each kind is sent, and what its answers mean."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.completion import CompletionRequest, TokenCounts
from inference.serving.remote.dialects import (
    MAX_BEFORE,
    MAX_BEHIND,
    Neighbour,
    Piece,
    Way,
    question,
    read_piece,
    shown,
)
from inference.serving.remote.trouble import TroubleError
from tests.inference.serving.remote.conftest import LAYOUT

REQUEST = CompletionRequest(
    document="file:///secret/place.py",
    prefix="a\r\nb",
    suffix="\r\nc",
    max_tokens=8,
    language="python",
    num_skipped=3,
    scope="line",
    first_text_ms=400,
    deadline_ms=3000,
)


def check(way: Way, *, route: str, holds: dict[str, Any], lacks: tuple[str, ...] = ()) -> None:
    asked = question(way, REQUEST, "m", LAYOUT, stop=("\n",), neighbours=[Neighbour("n.py", "x")])
    assert asked.route == route
    assert {name: asked.body.get(name) for name in holds} == holds
    assert not set(lacks) & set(asked.body)
    assert "secret" not in str(asked.body)


def test_openai_with_a_suffix() -> None:
    holds = {"prompt": "a\nb", "suffix": "\nc", "max_tokens": 8, "stop": ["\n", "<E>"]}
    check(Way.SUFFIX, route="/v1/completions", holds={"model": "m", "stream": True, **holds})


def test_openai_with_our_own_hole() -> None:
    check(
        Way.PROMPT, route="/v1/completions", holds={"prompt": "<P>a\nb<S>\nc<M>"}, lacks=("suffix",)
    )


def test_openai_without_anything_behind() -> None:
    check(Way.ONWARD, route="/v1/completions", holds={"prompt": "a\nb"}, lacks=("suffix",))


def test_llama_server() -> None:
    holds = {"input_prefix": "a\nb", "input_suffix": "\nc", "prompt": "", "n_predict": 8}
    extra = [{"filename": "n.py", "text": "x"}]
    check(Way.INFILL, route="/infill", holds={"input_extra": extra, **holds})


def test_ollama() -> None:
    options = {"num_predict": 8, "temperature": 0, "stop": ["\n", "<E>"]}
    holds = {"prompt": "a\nb", "suffix": "\nc", "options": options}
    check(Way.INSERT, route="/api/generate", holds=holds, lacks=("raw",))
    holds = {"prompt": "<P>a\nb<S>\nc<M>", "raw": True}
    check(Way.RAW, route="/api/generate", holds=holds, lacks=("suffix",))


def test_our_own_service_is_told_all_but_the_document() -> None:
    about = {
        "language": "python",
        "scope": "line",
        "deadline_ms": 3000,
        "first_text_ms": 400,
        "num_skipped": 3,
        "extra": [{"filename": "n.py", "text": "x"}],
    }
    holds = {"prompt": "a\r\nb", "suffix": "\r\nc", "n": 1, "inkling": about}
    check(Way.OWN, route="/v1/completions", holds=holds, lacks=("stop",))


@given(st.integers(0, 40_000), st.integers(0, 9_000), st.integers(0, 5_000))
def test_no_more_than_the_bound_is_shown_and_it_ends_at_the_cursor(
    num_before: int, num_behind: int, num_skipped: int
) -> None:
    text = "".join(chr(97 + number % 26) for number in range(num_before))
    request = CompletionRequest(
        document="", prefix=text, suffix="z" * num_behind, num_skipped=num_skipped
    )
    before, behind = shown(request)
    assert text.endswith(before)
    assert MAX_BEFORE - 2000 < len(before) <= MAX_BEFORE or before == text
    assert len(behind) == min(num_behind, MAX_BEHIND)


def test_a_cut_stands_still_while_the_user_types() -> None:
    text = "".join(f"line {number}\n" for number in range(4000))
    starts = {
        len(text)
        + num_typed
        - len(shown(CompletionRequest(document="", prefix=text + "x" * num_typed))[0])
        for num_typed in range(300)
    }
    assert len(starts) <= 2


def read(way: Way, *lines: bytes) -> list[Piece]:
    return [piece for line in lines if (piece := read_piece(way, line)) is not None]


def test_events_of_openai() -> None:
    assert read(
        Way.SUFFIX,
        b": a comment",
        b"",
        b'data: {"choices": [{"text": "a", "finish_reason": null}], "usage": null}',
        b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}\r',
        b"data: [DONE]",
    ) == [
        Piece(text="a"),
        Piece(tokens=TokenCounts(prompt=3, generated=1)),
        Piece(ended="stop"),
    ]


def test_events_of_llama_server_and_lines_of_ollama() -> None:
    counts = TokenCounts(prompt=7, generated=2)
    said = (
        b'{"content":"a","stop":true,"stop_type":"limit","tokens_evaluated":7,"tokens_predicted":2}'
    )
    assert read(Way.INFILL, b"data: " + said) == [Piece(text="a", ended="length", tokens=counts)]
    said = b'{"response":"","done":true,"done_reason":"stop","prompt_eval_count":7,"eval_count":2}'
    assert read(Way.RAW, b'{"response":"a","done":false}', said) == [
        Piece(text="a"),
        Piece(ended="stop", tokens=counts),
    ]


@pytest.mark.parametrize("way", [Way.SUFFIX, Way.INFILL, Way.INSERT])
@pytest.mark.parametrize(
    "line",
    [
        b"<html>",
        b'data: {"a"',
        b"data: 3",
        b'{"choices": 3, "content": 3, "response": 3}',
        b"\xff\xfe",
        b'{"error": ' + b"[" * 100_000,
        b'{"choices": [{"text": "\xff"}], "content": "\xff", "response": "\xff"}',
    ],
    ids=["html", "half", "a number", "wrong types", "no text", "a bomb", "half a text"],
)
def test_what_makes_no_sense_is_trouble(way: Way, line: bytes) -> None:
    with pytest.raises(TroubleError, match="not understood"):
        read_piece(way, line)


@pytest.mark.parametrize("way", [Way.SUFFIX, Way.INFILL, Way.INSERT])
def test_an_error_is_trouble_and_its_words_are_not_repeated(way: Way) -> None:
    with pytest.raises(TroubleError) as trouble:
        read_piece(way, b'{"error": {"message": "canary"}}')
    assert trouble.value.is_refusal
    assert "canary" not in str(trouble.value)


@given(st.binary(max_size=200))
def test_any_line_is_a_piece_nothing_or_trouble(line: bytes) -> None:
    for way in (Way.SUFFIX, Way.INFILL, Way.INSERT):
        try:
            read_piece(way, line)
        except TroubleError:
            continue
