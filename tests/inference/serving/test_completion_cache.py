"""What was computed answers the keystrokes that type it, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inference.completion import Completion, CompletionRequest, FinishReason, within_bounds
from inference.serving.completion_cache import MAX_ENTRIES, CompletionCache


def request(source: str, document: str = "a") -> CompletionRequest:
    prefix, suffix, num_skipped = within_bounds(*source.split("<|>"))
    return CompletionRequest(
        document=document,
        prefix=prefix,
        suffix=suffix,
        num_skipped=num_skipped,
        first_text_ms=400,
    )


def completion(text: str, reason: FinishReason = FinishReason.LINE) -> Completion:
    return Completion(text=text, finish_reason=reason)


def check(source: str, *, had: str, then: str, gives: str | None) -> None:
    """`had` was computed at `source`; `then` is what the document is now."""
    cache = CompletionCache()
    cache.add(request(source), completion(had))
    found = cache.find(request(then))
    assert (None if found is None else found.text) == gives
    assert found is None or found.origin == "cache"


def test_the_same_place_is_answered_again() -> None:
    check("x = <|>\n", had="f(a)", then="x = <|>\n", gives="f(a)")


def test_what_is_typed_of_it_leaves_the_rest() -> None:
    check("x = <|>\n", had="f(a)", then="x = f<|>\n", gives="(a)")


def test_what_is_typed_otherwise_is_for_the_model() -> None:
    check("x = <|>\n", had="f(a)", then="x = g<|>\n", gives=None)


def test_all_of_it_leaves_nothing() -> None:
    check("x = <|>\n", had="f(a)", then="x = f(a)<|>\n", gives=None)


def test_a_deletion_back_into_it_is_answered() -> None:
    cache = CompletionCache()
    cache.add(request("x = <|>\n"), completion("f(a)"))
    cache.add(request("x = fo<|>\n"), completion("o(a)"))
    found = cache.find(request("x = f<|>\n"))
    assert found is not None
    assert found.text == "(a)"


def test_an_accepted_line_leaves_the_others() -> None:
    check("<|>", had="a = 1\nb = 2", then="a = 1\n<|>", gives="b = 2")


def test_a_bracket_that_the_editor_closed_is_not_written_again() -> None:
    check("x = <|>\n", had="f(a)", then="x = f(<|>)\n", gives="a")


def test_a_bracket_that_is_typed_over_is_not_written_again() -> None:
    check("x = f(<|>)\n", had="a", then="x = f(<|>\n", gives=None)
    check("x = f(<|>)\n", had="a)[0]", then="x = f(a)<|>\n", gives="[0]")


def test_another_suffix_is_for_the_model() -> None:
    check("x = <|>\ny", had="f(a)", then="x = f<|>\nz", gives=None)


def test_an_edit_above_is_for_the_model() -> None:
    check("a\nx = <|>", had="f(a)", then="b\nx = f<|>", gives=None)


def test_a_file_with_crlf_is_answered_with_crlf() -> None:
    check("x\r\n<|>", had="a\r\nb\r\nc", then="x\r\na\r\n<|>", gives="b\r\nc")


def test_other_documents_and_scopes_do_not_matter() -> None:
    cache = CompletionCache()
    cache.add(request("x = <|>", "b"), completion("f(a)"))
    cache.add(replace(request("x = <|>"), scope="line"), completion("f(a)"))
    assert cache.find(request("x = f<|>")) is None


@pytest.mark.parametrize("reason", [FinishReason.DEADLINE, FinishReason.SUPERSEDED])
def test_what_was_cut_short_is_not_remembered(reason: FinishReason) -> None:
    cache = CompletionCache()
    cache.add(request("x = <|>"), completion("f(a)", reason))
    assert cache.find(request("x = <|>")) is None


def test_nothing_is_remembered_as_nothing_at_the_same_place() -> None:
    cache = CompletionCache()
    cache.add(request("x = <|>"), completion("", FinishReason.EMPTY))
    found = cache.find(request("x = <|>"))
    assert found is not None
    assert found.text == ""
    assert cache.find(request("x = f<|>")) is None


def test_a_request_that_promised_no_time_is_not_remembered() -> None:
    cache = CompletionCache()
    cache.add(replace(request("x = <|>"), first_text_ms=None), completion("f(a)"))
    assert cache.find(request("x = <|>")) is None


def test_the_oldest_is_forgotten() -> None:
    cache = CompletionCache()
    for number in range(MAX_ENTRIES + 1):
        cache.add(request(f"x{number} = <|>"), completion("f(a)"))
    assert cache.find(request("x0 = <|>")) is None
    assert cache.find(request("x1 = <|>")) is not None


@given(
    st.text(alphabet="ab\n", max_size=5_000),
    st.text(alphabet="ab(\n", min_size=1, max_size=30),
    st.integers(0, 29),
)
def test_what_is_answered_ends_what_was_computed(before: str, text: str, num_typed: int) -> None:
    cache = CompletionCache()
    cache.add(request(f"{before}<|>"), completion(text.rstrip() or "a"))
    found = cache.find(request(f"{before}{text[:num_typed]}<|>"))
    assert found is None or (text.rstrip() or "a").endswith(found.text)
