"""credentials: who gets a token, from where, and what hides a document's name."""

import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

from inference.errors import RemoteError
from inference.serving.remote.credentials import (
    find_token,
    session_id,
    session_secret,
    token_file,
)
from inference.serving.remote.endpoint import Endpoint

HERE = Endpoint.parse("http://127.0.0.1:8080")
THERE = Endpoint.parse("https://team.example")


def written(endpoint: Endpoint, content: str = "secret-token\n", mode: int = 0o600) -> Path:
    file = token_file(endpoint)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, "utf-8")
    file.chmod(mode)
    return file


def test_without_a_token_there_is_none() -> None:
    assert find_token(THERE) is None


def test_a_token_is_read_from_its_file() -> None:
    assert written(THERE).name == "team.example_443.token"
    assert find_token(THERE) == "secret-token"


@pytest.mark.parametrize(
    "other",
    ["https://team.example:8443", "https://team.example.evil", "http://127.0.0.1:443"],
)
def test_another_origin_never_gets_it(other: str) -> None:
    written(THERE)
    assert find_token(Endpoint.parse(other)) is None


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o660])
def test_a_file_that_others_can_read_or_write_is_refused(mode: int) -> None:
    file = written(THERE, mode=mode)
    with pytest.raises(RemoteError, match=f"{file} can be read by others; `chmod 600`"):
        find_token(THERE)


def test_a_token_is_not_sent_where_others_can_read_along() -> None:
    endpoint = Endpoint.parse("http://team.example")
    written(endpoint)
    with pytest.raises(RemoteError, match="use https://") as refused:
        find_token(endpoint)
    assert "secret-token" not in str(refused.value)


def test_on_this_machine_it_is_sent_without_tls() -> None:
    written(HERE)
    assert find_token(HERE) == "secret-token"


@pytest.mark.parametrize("content", ["two words", "line\r\nX-Evil: 1", "caf\u00e9", "x" * 5000])
def test_what_no_header_can_hold_is_refused(content: str) -> None:
    written(THERE, content)
    with pytest.raises(RemoteError) as refused:
        find_token(THERE)
    assert content not in str(refused.value)


class Keyring(ModuleType):
    def __init__(self, password: str | None = None, error: Exception | None = None) -> None:
        super().__init__("keyring")
        self.asked: list[tuple[str, str]] = []
        self._password, self._error = password, error

    def get_password(self, service: str, user: str) -> str | None:
        self.asked.append((service, user))
        if self._error is not None:
            raise self._error
        return self._password


def test_the_keyring_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = Keyring("from-the-keyring")
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    written(THERE)
    assert find_token(THERE) == "from-the-keyring"
    assert keyring.asked == [("inkling", "https://team.example:443")]


@pytest.mark.parametrize(
    "keyring", [Keyring(), Keyring(error=RuntimeError("locked"))], ids=["empty", "locked"]
)
def test_a_keyring_without_it_leaves_the_file(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    written(THERE)
    assert find_token(THERE) == "secret-token"


def test_the_secret_is_made_once_and_is_private(user_folder: Path) -> None:
    secret = session_secret()
    assert len(secret) == 32
    assert session_secret() == secret
    assert stat.S_IMODE((user_folder / "secret").stat().st_mode) == 0o600
    assert [file.name for file in user_folder.iterdir()] == ["secret"]


def test_a_session_tells_nothing_of_its_document() -> None:
    name = session_id(b"a" * 32, "file:///place/plan.py")
    assert name == session_id(b"a" * 32, "file:///place/plan.py")
    assert name != session_id(b"b" * 32, "file:///place/plan.py")
    assert name != session_id(b"a" * 32, "file:///place/plans.py")
    assert len(name) == 32
    assert "plan" not in name
