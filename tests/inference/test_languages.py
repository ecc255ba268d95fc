"""languages: the table is whole, and what it does not know is plain text."""

import tomllib
from importlib import resources

import pytest

from inference.languages import PLAIN_TEXT, language_for, language_id_of, trigger_characters

TABLE = tomllib.loads((resources.files("inference") / "languages.toml").read_text("utf-8"))


def check(path: str, *, gives: str) -> None:
    assert language_id_of(path) == gives


def test_a_python_file() -> None:
    check("src/app.py", gives="python")


def test_a_stub_is_python() -> None:
    check("app.pyi", gives="python")


def test_capitals_do_not_matter() -> None:
    check("APP.PY", gives="python")


def test_the_last_suffix_counts() -> None:
    check("app.py.ts", gives="typescript")


def test_an_unknown_suffix_is_plain_text() -> None:
    check("app.unknown", gives=PLAIN_TEXT)


def test_no_suffix_is_plain_text() -> None:
    check("Makefile", gives=PLAIN_TEXT)


def test_a_hidden_file_has_no_suffix() -> None:
    check(".py", gives=PLAIN_TEXT)


def test_an_empty_name_is_plain_text() -> None:
    check("", gives=PLAIN_TEXT)


@pytest.mark.parametrize("language_id", TABLE)
def test_every_language_can_be_looked_up(language_id: str) -> None:
    assert language_for(language_id).block == TABLE[language_id]["block"]


@pytest.mark.parametrize("language_id", ["", "klingon", "PYTHON", "../python"])
def test_an_unknown_language_is_plain_text(language_id: str) -> None:
    assert language_for(language_id) is language_for(PLAIN_TEXT)


def test_no_suffix_belongs_to_two_languages() -> None:
    suffixes = [suffix for language in TABLE.values() for suffix in language.get("suffixes", ())]
    assert len(suffixes) == len(set(suffixes))


def test_every_suffix_leads_back_to_its_language() -> None:
    for language_id, language in TABLE.items():
        for suffix in language.get("suffixes", ()):
            check(f"a{suffix}", gives=language_id)


@pytest.mark.parametrize("language_id", TABLE)
def test_a_letter_of_names_is_never_what_a_name_begins_behind(language_id: str) -> None:
    """Such a character would both end a word and belong to it."""
    language = language_for(language_id)
    assert not set(language.word_characters) & set(language.trigger_characters)
    assert not any(one.isalnum() or one.isspace() or one == "_" for one in language.word_characters)


def test_every_trigger_character_is_of_some_language() -> None:
    assert set(trigger_characters()) == {
        one for name in TABLE for one in language_for(name).trigger_characters
    }
    assert {".", "(", "[", "="} <= set(trigger_characters())
