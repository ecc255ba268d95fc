"""Whatever comes as JSON is refused with its reason, or is a request that the engine takes."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference import Completion, FinishReason
from inference.completion import checked
from team.completions import CompletionBody
from team.infill import InfillBody
from team.wire import Refused, decoded

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 5),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["auto", "line", "python", "a.rs", "\0", "\r\n"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=4), inner, max_size=3),
        st.lists(st.fixed_dictionaries({"text": inner}, optional={"filename": inner}), max_size=3),
    ),
    max_leaves=6,
)


OURS = ("language", "filepath", "extra", "deadline_ms", "scope", "num_skipped")
EXTENSIONS = st.fixed_dictionaries({}, optional=dict.fromkeys(OURS, VALUES))


def named(body_type: type[msgspec.Struct]) -> Any:
    """Return objects with some of the fields of a body, whatever they hold, and with others."""
    fields = dict.fromkeys(body_type.__struct_fields__, VALUES)
    return st.one_of(
        st.fixed_dictionaries({}, optional={**fields, "other": VALUES}),
        few(fields),
    )


def few(fields: dict[str, st.SearchStrategy[Any]]) -> Any:
    """Return objects that are good but for one field, or for one of our own."""
    one = st.sampled_from(sorted(fields)).flatmap(
        lambda name: st.fixed_dictionaries({name: VALUES})
    )
    ours = st.fixed_dictionaries({"inkling": EXTENSIONS})
    return st.builds(lambda text, other: {"prompt": text, **other}, st.text(), st.one_of(one, ours))


def check(content: bytes, body_type: type[CompletionBody | InfillBody]) -> bool:
    """Say whether it is taken; what is taken is within the engine's bounds and can be answered."""
    refused: Refused | None = None
    try:
        body = decoded(content, body_type)
        request = body.request("document", 1000)
    except Refused as error:
        refused = error
    if refused is not None:
        assert refused.status in {400, 422}
        assert refused.message
        return False
    checked(request)
    answer = body.response(Completion(text="a\nb", finish_reason=FinishReason.BLOCK), "model")
    assert answer.status_code == 200
    return True


@pytest.mark.slow
def test_json_of_any_kind(num_examples: Callable[..., int]) -> None:
    taken = {True: 0, False: 0}

    @settings(
        max_examples=num_examples(short=500, long=20_000),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        st.one_of(
            st.tuples(st.just(CompletionBody), named(CompletionBody)),
            st.tuples(st.just(InfillBody), named(InfillBody)),
            st.tuples(st.sampled_from([CompletionBody, InfillBody]), VALUES),
        )
    )
    def holds(sent: tuple[type[CompletionBody | InfillBody], object]) -> None:
        body_type, value = sent
        taken[check(json.dumps(value).encode(), body_type)] += 1

    holds()
    assert min(taken.values()) > 10


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_bytes_of_any_kind(content: bytes) -> None:
    for body_type in (CompletionBody, InfillBody):
        check(content, body_type)
