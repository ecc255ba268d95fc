from lsp_server.policy.gate import Silence, Trigger, silence
from lsp_server.settings import Settings
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
