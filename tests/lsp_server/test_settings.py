"""The tree of settings: each is whole, bounded, and none can hold a text of the client's choice."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.settings import (
    MAX_LANGUAGE_CHARACTERS,
    MAX_LANGUAGES,
    SETTINGS,
    Choice,
    Count,
    Kind,
    LanguageSwitches,
    Level,
    Settings,
    Switch,
    about,
)

DEFAULTS = Settings()
NAMES = list(SETTINGS)


def check(kind: Kind, value: object, *, gives: object) -> None:
    read = kind.read(value)
    assert read == gives
    assert type(read) is type(gives)


@pytest.mark.parametrize("value", [True, False])
def test_a_switch_is_true_or_false(value: bool) -> None:
    check(Switch(), value, gives=value)


@pytest.mark.parametrize("value", [0, 1, "true", "", None, [], 1.0])
def test_nothing_else_is_a_switch(value: object) -> None:
    check(Switch(), value, gives=None)


@pytest.mark.parametrize(("value", "gives"), [(1, 1), (9, 9), (3.0, 3), (9.0, 9)])
def test_a_whole_number_within_bounds_is_a_count(value: object, gives: int) -> None:
    check(Count(1, 9), value, gives=gives)


@pytest.mark.parametrize(
    "value", [0, 10, -1, 1.5, 1e300, float("inf"), float("nan"), True, "3", None, [3]]
)
def test_nothing_else_is_a_count(value: object) -> None:
    check(Count(1, 9), value, gives=None)


def test_a_choice_is_one_of_its_words() -> None:
    check(Choice(Level), "eager", gives=Level.EAGER)
    for value in ("EAGER", "", 1, None, ["eager"], {"eager": True}):
        check(Choice(Level), value, gives=None)


def test_languages_are_switched_by_their_ids() -> None:
    check(
        LanguageSwitches(), {"css": False, "x" * 100: True}, gives={"css": False, "x" * 100: True}
    )
    for value in ({"css": 1}, {"css": None}, ["css"], "css", True):
        check(LanguageSwitches(), value, gives=None)


def test_languages_are_bounded() -> None:
    check(LanguageSwitches(), {"x" * (MAX_LANGUAGE_CHARACTERS + 1): True}, gives=None)
    many = {str(number): True for number in range(MAX_LANGUAGES)}
    check(LanguageSwitches(), many, gives=many)
    check(LanguageSwitches(), {**many, "one more": True}, gives=None)


@pytest.mark.parametrize("name", NAMES)
def test_a_default_is_a_value_that_may_be_sent(name: str) -> None:
    default = getattr(DEFAULTS, SETTINGS[name].name)
    check(about(SETTINGS[name]).kind, default, gives=default)


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_told_in_one_sentence(name: str) -> None:
    description = about(SETTINGS[name]).description
    assert description[0].islower()
    assert not description.endswith(".")
    assert "\n" not in description + about(SETTINGS[name]).kind.expected


def test_every_field_can_be_set_by_one_name() -> None:
    assert sorted(setting.name for setting in SETTINGS.values()) == sorted(
        field.name for field in fields(Settings)
    )
    assert "maxDocumentBytes" in SETTINGS


TEXT = st.text(max_size=30) | st.sampled_from(["/bin/sh", "https://example.org", "file:///x"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(NAMES), JSON)
def test_no_setting_can_hold_a_text_of_the_clients_choice(name: str, value: object) -> None:
    """Invariant 23, by what a setting is rather than by its name; languages are but named."""
    read = about(SETTINGS[name]).kind.read(value)
    if isinstance(read, dict):
        assert all(isinstance(switch, bool) for switch in read.values())
    else:
        assert read is None or isinstance(read, bool | int | Level)
