"""Functions that an engine writes are run, and what is wrong is called wrong."""

import pytest

from benchmarks.functions import FUNCTIONS, write_all
from evaluation.sandbox import Verdict, find_isolation
from tests.support.measured import engine_that_writes


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("return s[::-1]", Verdict.PASSED),
        ('return "".join(reversed(s))', Verdict.PASSED),
        ("return s", Verdict.WRONG),
        ("return text[::-1]", Verdict.RAISED),
        ("return (", Verdict.UNPARSABLE),
    ],
)
async def test_what_is_written_is_run(text: str, verdict: Verdict) -> None:
    async with engine_that_writes(text) as engine:
        (written,) = await write_all(engine, FUNCTIONS[:1], find_isolation())
    assert written.body == text
    assert written.verdict is verdict
