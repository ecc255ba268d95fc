import pytest

from lsp_server.policy.gate import Silence, Trigger, silence, silence_at
from lsp_server.settings import Level, Settings
from tests.support.sessions import document_of


def check(
    settings: Settings,
    expected: Silence | None,
    *,
    text: str = "x",
    trigger: Trigger = Trigger.AUTOMATIC,
) -> None:
    assert silence(settings, document_of(text), trigger) is expected


def test_a_document_with_text_is_answered() -> None:
    check(Settings(), None)


def test_who_is_disabled_is_silent() -> None:
    check(Settings(enable=False), Silence.DISABLED, trigger=Trigger.INVOKED)


def test_a_language_that_is_switched_off_is_left_alone() -> None:
    off = Settings(languages={"python": False})
    check(off, Silence.LANGUAGE, trigger=Trigger.INVOKED)
    check(Settings(languages={"python": True, "css": False}), None)


def test_who_answers_only_on_request_is_silent_while_one_types() -> None:
    check(Settings(automatic=False), Silence.ONLY_ON_REQUEST)


def test_who_answers_only_on_request_answers_a_request() -> None:
    check(Settings(automatic=False), None, trigger=Trigger.INVOKED)


def test_who_answers_only_on_request_answers_a_menu() -> None:
    check(Settings(automatic=False), None, trigger=Trigger.MENU)


def test_a_document_above_the_limit_is_left_alone() -> None:
    check(Settings(max_document_bytes=3), Silence.TOO_LARGE, text="éé")


def test_a_document_at_the_limit_is_answered() -> None:
    check(Settings(max_document_bytes=4), None, text="éé")


def test_a_blank_document_is_left_alone() -> None:
    check(Settings(), Silence.BLANK, text=" \n\t\n", trigger=Trigger.INVOKED)


def test_a_file_that_holds_secrets_is_left_alone() -> None:
    document = document_of("A=1", "file:///workspace/.env")
    for trigger in Trigger:
        assert silence(Settings(), document, trigger) is Silence.SECRET_FILE


@pytest.mark.parametrize(
    ("settings", "line", "expected"),
    [
        (Settings(), "x = f(<|>)", None),
        (Settings(), "x = f(<|>),", None),
        (Settings(), 'x = f["<|>"]: ', None),
        (Settings(), "x = <|>f(a)", Silence.IN_FRONT_OF_TEXT),
        (Settings(level=Level.EAGER), "x = <|>f(a)", None),
        (Settings(min_prefix=3), "  x =<|>", Silence.SHORT),
        (Settings(min_prefix=2), "  x =<|>", None),
    ],
)
def test_while_one_types_some_places_are_left_alone(
    settings: Settings, line: str, expected: Silence | None
) -> None:
    before, behind = line.split("<|>")
    assert silence_at(settings, before, behind, Trigger.AUTOMATIC) is expected
    assert silence_at(settings, before, behind, Trigger.INVOKED) is None
