import pytest

from inference import Scope
from lsp_server.policy.gate import Trigger
from lsp_server.policy.scope import max_tokens, scope_at
from lsp_server.settings import NAMES, Count, Settings
from tests.support.sessions import cursor_in


def check(marked: str, scope: Scope) -> None:
    assert scope_at(*cursor_in(marked)) == scope


def test_at_the_end_of_a_line_a_block_is_written() -> None:
    check("def f():<|>\nx", "block")


def test_before_blanks_only_a_block_is_written() -> None:
    check("def f():<|>  \t\r\nx", "block")


def test_at_the_end_of_the_text_a_block_is_written() -> None:
    check("x<|>", "block")


def test_before_more_text_a_line_is_written() -> None:
    check("print(<|>)", "line")


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [(Trigger.AUTOMATIC, 64), (Trigger.MENU, 64), (Trigger.INVOKED, 128)],
)
def test_who_asks_gets_twice_as_much(trigger: Trigger, expected: int) -> None:
    assert max_tokens(Settings(), trigger) == expected


def test_no_setting_asks_the_engine_for_more_than_it_accepts() -> None:
    setting = NAMES["maxTokens"]
    assert isinstance(setting, Count)
    assert max_tokens(Settings(max_tokens=setting.highest), Trigger.INVOKED) <= 512
