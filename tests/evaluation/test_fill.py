"""What an engine writes into a hole, and what is said of it."""

import math

import pytest

from evaluation.figures import figures_of
from evaluation.fill import FIGURES, Outcome, fill, fill_all
from evaluation.holes import KINDS, Hole
from evaluation.sources import Source
from inference.completion import Completion, CompletionRequest, FinishReason, checked
from inference.decoding.scoring import Score
from inference.errors import EngineUnavailableError, EvaluationError
from inference.serving.local import LocalEngine
from inference.syntax import Span
from tests.support.byte_tokenizer import VOCAB_SIZE
from tests.support.measured import engine_that_writes
from tests.support.scripted_model import ScriptedModel, loaded, playing

LINE = next(kind for kind in KINDS if kind.name == "line")
BLOCK = next(kind for kind in KINDS if kind.name == "block")


def hole(source: str, *, language: str = "python", kind: str = "line") -> Hole:
    """`source` holds what is removed between << and >>."""
    prefix, rest = source.split("<<")
    removed, suffix = rest.split(">>")
    span = Span(len(prefix), len(prefix + removed))
    made = Source("a", prefix + removed + suffix, language)
    return Hole(made, BLOCK if kind == "block" else LINE, span)


async def outcome(written: str, made: Hole, *, limit_tokens: int = 64) -> Outcome:
    async with engine_that_writes(written) as engine:
        return await fill(engine, made, limit_tokens=limit_tokens)


async def check(
    source: str,
    *,
    writes: str,
    perfect: bool,
    exact: bool,
    similarity: float,
    first_token: bool,
    parses: bool = True,
    empty: bool = False,
    kind: str = "line",
) -> None:
    found = await outcome(writes, hole(source, kind=kind))
    assert (found.perfect_line, found.exact_match) == (perfect, exact)
    assert found.edit_similarity == pytest.approx(similarity)
    assert (found.first_token, found.parses, found.empty) == (first_token, parses, empty)


async def test_it_writes_what_was_there() -> None:
    await check(
        "a = <<b>>\n", writes="b", perfect=True, exact=True, similarity=1.0, first_token=True
    )


async def test_it_writes_something_else() -> None:
    await check(
        "a = <<b>>\n", writes="c", perfect=False, exact=False, similarity=0.0, first_token=False
    )


async def test_it_breaks_the_file() -> None:
    await check(
        "a = <<b>>\n",
        writes="b)",
        perfect=False,
        exact=False,
        similarity=0.5,
        first_token=True,
        parses=False,
    )


async def test_a_file_that_was_broken_before_may_stay_so() -> None:
    await check(
        "d = )\na = <<b>>\n",
        writes="c",
        perfect=False,
        exact=False,
        similarity=0.0,
        first_token=False,
        parses=True,
    )


async def test_it_writes_nothing() -> None:
    await check(
        "a = <<b>>\n",
        writes="",
        perfect=False,
        exact=False,
        similarity=0.0,
        first_token=False,
        parses=False,
        empty=True,
    )


async def test_nothing_parses_where_a_line_may_be_missing() -> None:
    await check(
        "a = b\n<<c = d>>\n",
        writes="",
        perfect=False,
        exact=False,
        similarity=0.0,
        first_token=False,
        parses=True,
        empty=True,
    )


async def test_the_share_of_empty_answers_is_told() -> None:
    found = [await outcome(written, hole("<<a>>\n")) for written in ("", "a", "b", "")]
    assert figures_of(found, FIGURES)["empty"] == 0.5


async def test_the_first_line_of_a_block_is_right() -> None:
    await check(
        "def f():\n    <<a\n    b>>\n",
        kind="block",
        writes="a\n    c",
        perfect=True,
        exact=False,
        similarity=6 / 7,
        first_token=True,
    )


async def test_a_line_ends_where_the_line_does() -> None:
    await check(
        "a = <<b>>\n", writes="b\nc", perfect=True, exact=True, similarity=1.0, first_token=True
    )


async def test_the_limit_cuts_it_off() -> None:
    found = await outcome("bcde", hole("a = <<bcde>>\n"), limit_tokens=2)
    assert (found.exact_match, found.edit_similarity) == (False, 0.5)


async def test_bits_are_those_of_the_removed_text() -> None:
    found = await outcome("zz", hole("a = <<bé>>\n"))
    assert (found.num_bytes, found.num_tokens) == (3, 3)
    assert found.bits == pytest.approx(3 * math.log2(math.e + VOCAB_SIZE - 1))


async def test_without_a_grammar_nothing_is_said_of_parsing() -> None:
    found = await outcome("b", hole("a = <<b>>\n", language="perl"))
    assert not found.has_grammar
    assert figures_of([found], FIGURES)["parses"] is None


async def test_a_file_longer_than_a_request_is_cut_to_it() -> None:
    far = "a = 1\n" * 12_000
    found = await fill(Accepting(), hole(f"{far}b = <<c>>\n{far}"), limit_tokens=8)
    assert found.exact_match


async def test_engines_take_turns_and_keep_their_own() -> None:
    holes = [hole("a = <<b>>\n"), hole("c = <<d>>\n"), hole("e = <<f>>\n")]
    asked: list[str] = []
    async with engine_that_writes("b") as first, engine_that_writes("d") as second:
        engines = [Noting("first", first, asked), Noting("second", second, asked)]
        found = await fill_all(engines, holes, limit_tokens=8, advance=lambda: asked.append("-"))
    assert asked == ["first", "second", "-", "second", "first", "-", "first", "second", "-"]
    exact = [[outcome.exact_match for outcome in outcomes] for outcomes in found]
    assert exact == [[True, False, False], [False, True, False]]


async def test_an_engine_that_fails_ends_it() -> None:
    class Failing(Accepting):
        async def complete(self, request: CompletionRequest) -> Completion:
            return Completion.nothing(FinishReason.FAILED)

    with pytest.raises(EvaluationError, match="no answer in a"):
        await fill(Failing(), hole("a = <<b>>\n"), limit_tokens=8)


async def test_an_engine_without_a_model_scores_nothing() -> None:
    engine = LocalEngine(lambda: loaded(ScriptedModel(playing("a"))))
    await engine.wait_ready()
    await engine.close()
    with pytest.raises(EngineUnavailableError):
        await engine.score(CompletionRequest(document="a", prefix="a"), "b")


class Accepting:
    """An engine that writes a c into every hole whose request is within its bounds."""

    async def complete(self, request: CompletionRequest) -> Completion:
        assert checked(request) == request
        return Completion(text="c", finish_reason=FinishReason.LINE)

    async def score(self, request: CompletionRequest, middle: str) -> Score:
        return Score(token_bits=(1.0,), likeliest_bits=(1.0,), num_bytes=1)


class Noting:
    """An engine that writes its name down when it is asked."""

    def __init__(self, name: str, engine: LocalEngine, asked: list[str]) -> None:
        self._name = name
        self._engine = engine
        self._asked = asked

    async def complete(self, request: CompletionRequest) -> Completion:
        self._asked.append(self._name)
        return await self._engine.complete(request)

    async def score(self, request: CompletionRequest, middle: str) -> Score:
        return await self._engine.score(request, middle)
