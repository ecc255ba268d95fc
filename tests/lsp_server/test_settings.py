from dataclasses import fields
from pathlib import Path

import pytest

from lsp_server.settings import FORBIDDEN, NAMES, Settings, parse, section_of

DEFAULTS = Settings()


def check(raw: object, *problems: str, gives: Settings = DEFAULTS) -> None:
    settings, found = parse(raw, DEFAULTS)
    assert settings == gives
    assert found == list(problems)


def test_nothing_sent_changes_nothing() -> None:
    check(None)


def test_settings_are_read() -> None:
    check(
        {"enable": False, "automatic": False, "maxTokens": 8, "deadlineMs": 100},
        gives=Settings(enable=False, automatic=False, max_tokens=8, deadline_ms=100),
    )


def test_settings_may_stand_in_their_section() -> None:
    check({"inkling": {"maxDocumentBytes": 10}}, gives=Settings(max_document_bytes=10))


def test_what_is_not_named_keeps_its_value() -> None:
    settings, _ = parse({"maxTokens": 9}, Settings(automatic=False))
    assert settings == Settings(automatic=False, max_tokens=9)


def test_settings_that_are_no_object_are_a_problem() -> None:
    check([1], "settings must be an object, not [1]")


def test_a_section_that_is_no_object_is_a_problem() -> None:
    check({"inkling": 3}, "settings must be an object, not 3")


def test_a_wrong_type_is_a_problem() -> None:
    check({"enable": "yes"}, "inkling.enable must be true or false, not 'yes'")


def test_true_is_no_number() -> None:
    check({"maxTokens": True}, "inkling.maxTokens must be a whole number from 1 to 256, not True")


def test_a_number_out_of_bounds_is_a_problem() -> None:
    check({"maxTokens": 0}, "inkling.maxTokens must be a whole number from 1 to 256, not 0")


def test_a_long_value_is_shortened() -> None:
    _, (problem,) = parse({"maxTokens": "x" * 1000}, DEFAULTS)
    assert len(problem) < 120


def test_an_unknown_setting_is_a_problem() -> None:
    known = "enable, automatic, maxTokens, firstTextMs, deadlineMs, maxDocumentBytes"
    check({"colour": 1}, f"inkling.colour is unknown; there are {known}")


def test_a_good_setting_beside_a_bad_one_counts() -> None:
    settings, problems = parse({"colour": 1, "maxTokens": 7}, DEFAULTS)
    assert settings.max_tokens == 7
    assert len(problems) == 1


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_a_workspace_cannot_set(name: str) -> None:
    check(
        {name: "/elsewhere"},
        f"inkling.{name} cannot be set from an editor's workspace; "
        "start the server with --model or INKLING_MODEL",
    )


def test_every_field_has_a_name_that_accepts_its_default() -> None:
    assert {setting.field for setting in NAMES.values()} == {
        field.name for field in fields(Settings)
    }
    assert all(setting.accepts(getattr(DEFAULTS, setting.field)) for setting in NAMES.values())


def test_our_section_is_found_among_others() -> None:
    assert section_of({"python": 1, "inkling": {"enable": False}}) == {"enable": False}
    assert section_of({"python": {"enable": False}}) is None
    assert section_of(None) is None


def test_the_manual_lists_every_setting_with_its_default() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "server.md").read_text("utf-8")
    for name, kind in NAMES.items():
        default = str(getattr(DEFAULTS, kind.field)).lower()
        assert f"| `{name}` | `{default}` |" in manual
