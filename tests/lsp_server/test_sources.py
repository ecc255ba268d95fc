"""Settings as clients send them: what is read, what is told, and what holds when several say so."""

from collections.abc import Mapping

import pytest
from hypothesis import given

from lsp_server.settings import SETTINGS, Level, Settings
from lsp_server.sources import (
    FORBIDDEN,
    MAX_PROBLEMS,
    Source,
    Sources,
    is_nothing,
    parse,
    section_of,
)
from tests.lsp_server.test_settings import JSON

NOT_YOURS = (
    "inkling.{} cannot be set from an editor's workspace; start the server with --model or "
    "INKLING_MODEL"
)


def check(raw: object, *problems: str, gives: Settings | None = None) -> None:
    """What is read of what one source sent, and what is told of it."""
    sources = Sources()
    assert sources.take(Source.OPTIONS, raw) == list(problems)
    assert sources.settings == (gives or Settings())


NOTHING = [None, [], {}, {"inkling": None}, {"inkling": []}, {"inkling": {}}]


@pytest.mark.parametrize("raw", [*NOTHING, {"enable": None}, {"enable": []}, {"languages": {}}])
def test_nothing_sets_nothing_and_is_no_problem(raw: object) -> None:
    check(raw)


SET = Settings(enable=False, max_tokens=8, level=Level.QUIET, languages={"css": False})
SENT = {"enable": False, "maxTokens": 8, "level": "quiet", "languages": {"css": False}}


@pytest.mark.parametrize(
    "raw",
    [
        SENT,
        {"inkling": SENT},
        {f"inkling.{name}": value for name, value in SENT.items()},
        {"inkling": {"enable": False}, **{f"inkling.{name}": SENT[name] for name in SENT}},
        {"inkling": SENT, "maxTokens": 3},
    ],
    ids=["alone", "in their section", "dotted", "both", "beside others"],
)
def test_settings_are_read(raw: object) -> None:
    check(raw, gives=SET)


def test_a_float_that_is_whole_is_a_whole_number() -> None:
    check({"maxTokens": 32.0}, gives=Settings(max_tokens=32))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [([1], "[1]"), (3, "3"), ({"inkling": 3}, "3"), ("off", "'off'"), (False, "False")],
)
def test_settings_that_are_no_object_are_a_problem(raw: object, shown: str) -> None:
    check(raw, f"settings must be an object, not {shown}")


def test_a_wrong_value_is_a_problem_and_counts_as_not_sent() -> None:
    check({"enable": "yes"}, "inkling.enable must be true or false, not 'yes'")
    whole = "inkling.maxTokens must be a whole number from 1 to 256, not {}"
    check({"maxTokens": True}, whole.format("True"))
    check({"maxTokens": 0}, whole.format("0"))
    check({"level": "loud"}, 'inkling.level must be "quiet" or "balanced" or "eager", not \'loud\'')


def test_a_good_setting_beside_a_bad_one_counts() -> None:
    values, problems = parse({"colour": 1, "maxTokens": 7, "enable": 3})
    assert values == {"max_tokens": 7}
    assert len(problems) == 2


def test_an_unknown_setting_is_a_problem_with_a_way_out() -> None:
    known = ", ".join(sorted(SETTINGS))
    check({"colour": 1}, f"inkling.colour is unknown; there are {known}")
    check({"maxtokens": 1}, "inkling.maxtokens is unknown; did you mean maxTokens?")
    check({"max_tokens": 1}, "inkling.max_tokens is unknown; did you mean maxTokens?")


def test_long_and_many_problems_are_told_in_short() -> None:
    values = {f"{number} {'x' * 10_000}": "y" * 10_000 for number in range(10_000)}
    _, problems = parse({**values, "enable": "z" * 10_000})
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == f"and {len(values) + 1 - MAX_PROBLEMS} more"
    assert all(len(problem) < 400 for problem in problems)


SPELLINGS = (
    *("modelPath", "MODEL", "model_path", "inkling.model", "logFile", "log-file", "apiKey"),
    *("APIKEY", "access_token", "serverCommand", "executable", "endpointUrl", "--model"),
)


@pytest.mark.parametrize("name", [*SPELLINGS, *FORBIDDEN])
def test_what_is_not_for_a_workspace_is_said_to_be_so_however_it_is_spelt(name: str) -> None:
    check({"inkling": {name: "/elsewhere"}}, NOT_YOURS.format(name))


def test_what_is_not_for_a_workspace_is_found_inside_others() -> None:
    deep = {"engine": {"more": {"modelPath": "/elsewhere"}}}
    check({"inkling": deep}, NOT_YOURS.format("engine.more.modelPath"))


def test_no_setting_of_ours_is_named_like_one_that_no_workspace_can_set() -> None:
    """But for tokens, which are counted here."""
    named = {name: [word for word in FORBIDDEN if word in name.lower()] for name in SETTINGS}
    assert {name: words for name, words in named.items() if words} == {"maxTokens": ["token"]}


@given(JSON)
def test_whatever_is_sent_gives_settings_within_their_bounds(raw: object) -> None:
    sources = Sources()
    for source in Source:
        sources.take(source, raw)
        sources.take(source, {"inkling": raw})
    for name, setting in SETTINGS.items():
        value = getattr(sources.settings, setting.name)
        check({name: value}, gives=Settings(**{setting.name: value}))


@pytest.mark.parametrize(
    ("raw", "ours"),
    [
        ({"python": {"enable": False}, "inkling": {"enable": False}}, {"enable": False}),
        ({"python": {"enable": False}, "enable": False}, {}),
        ({"editor.tabSize": 4, "enable": False}, {}),
        ({"editor.tabSize": 4, "inkling.enable": False}, {"enable": False}),
        ({"enable": False}, {"enable": False}),
        ({"languages": {"css": False}}, {"languages": {"css": False}}),
        ({"python": 3}, {}),
        (None, {}),
    ],
)
def test_our_section_is_found_among_others(raw: object, ours: Mapping[str, object]) -> None:
    assert parse(section_of(raw))[0] == ours


def test_the_later_source_counts_and_each_is_read_whole() -> None:
    sources = Sources()
    sources.take(Source.CONFIGURATION, {"maxTokens": 20, "deadlineMs": 200})
    sources.take(Source.OPTIONS, {"maxTokens": 10, "automatic": False})
    assert sources.settings == Settings(max_tokens=20, deadline_ms=200, automatic=False)
    sources.override({"maxTokens": 30})
    assert sources.settings.max_tokens == 30
    sources.take(Source.CONFIGURATION, {"deadlineMs": 200})
    sources.take(Source.COMMANDS, None)
    assert sources.settings == Settings(max_tokens=10, deadline_ms=200, automatic=False)
    sources.take(Source.OPTIONS, {})
    sources.take(Source.CONFIGURATION, [])
    assert sources.settings == Settings()


def test_languages_are_laid_over_each_other_one_by_one() -> None:
    sources = Sources()
    sources.take(Source.OPTIONS, {"languages": {"css": False, "lua": False}})
    sources.take(Source.CONFIGURATION, {"languages": {"css": True}})
    sources.override({"languages": {"go": False}})
    sources.override({"languages": {"c": False}})
    assert sources.settings.languages == {"css": True, "lua": False, "go": False, "c": False}


def test_a_problem_is_told_once_whoever_says_it_and_whatever_is_beside_it() -> None:
    sources = Sources()
    assert len(sources.take(Source.OPTIONS, {"enable": 1})) == 1
    assert sources.take(Source.CONFIGURATION, {"enable": 1}) == []
    (told,) = sources.take(Source.CONFIGURATION, {"enable": 1, "automatic": 1})
    assert told.startswith("inkling.automatic")


def test_a_command_with_a_problem_sets_nothing() -> None:
    sources = Sources()
    for _ in range(2):
        assert len(sources.override({"level": "loud", "enable": False})) == 1
    assert sources.settings == Settings()


def test_only_an_empty_thing_is_nothing() -> None:
    assert [value for value in (None, [], {}, 0, False, "", 0.0) if is_nothing(value)] == [
        None,
        [],
        {},
    ]
