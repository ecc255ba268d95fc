import pytest

from lsp_server.policy.gate import Trigger
from lsp_server.policy.length import max_tokens
from lsp_server.settings import SETTINGS, Count, Settings, about


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [(Trigger.AUTOMATIC, 64), (Trigger.MENU, 64), (Trigger.INVOKED, 128)],
)
def test_who_asks_gets_twice_as_much(trigger: Trigger, expected: int) -> None:
    assert max_tokens(Settings(), trigger) == expected


def test_no_setting_asks_the_engine_for_more_than_it_accepts() -> None:
    setting = about(SETTINGS["maxTokens"]).kind
    assert isinstance(setting, Count)
    assert max_tokens(Settings(max_tokens=setting.highest), Trigger.INVOKED) <= 512
