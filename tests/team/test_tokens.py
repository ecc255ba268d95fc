"""Tokens are shown once, kept as hashes, in a file that is its user's own."""

import os
import stat
from pathlib import Path

import pytest

from inference import InklingError
from team.tokens import TokenStore

POSIX = pytest.mark.skipif(os.name != "posix", reason="the file's mode is POSIX's")


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "inkling" / "tokens.json")


def check_refused(store: TokenStore, name: str, *, says: str) -> None:
    with pytest.raises(InklingError, match=says):
        store.add(name)


def test_a_token_finds_whose_it_is(store: TokenStore) -> None:
    tokens = {name: store.add(name) for name in ("ann", "bob")}
    assert len(set(tokens.values())) == 2
    for name, token in tokens.items():
        record = store.find(token)
        assert record is not None
        assert record.name == name
    assert store.find("inkling_" + "A" * 43) is None
    assert store.find("") is None


def test_the_file_holds_no_token(store: TokenStore, tmp_path: Path) -> None:
    token = store.add("ann")
    content = (tmp_path / "inkling" / "tokens.json").read_text()
    assert token not in content
    assert token.removeprefix("inkling_") not in content
    assert "ann" in content


@POSIX
def test_the_file_is_its_users_own(store: TokenStore, tmp_path: Path) -> None:
    store.add("ann")
    path = tmp_path / "inkling" / "tokens.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["tokens.json"]


@POSIX
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_read_is_refused(store: TokenStore, tmp_path: Path, mode: int) -> None:
    token = store.add("ann")
    (tmp_path / "inkling" / "tokens.json").chmod(mode)
    fresh = TokenStore(tmp_path / "inkling" / "tokens.json")
    with pytest.raises(InklingError, match="others can read"):
        fresh.find(token)


def test_who_was_revoked_is_out_at_once(store: TokenStore, tmp_path: Path) -> None:
    other = TokenStore(tmp_path / "inkling" / "tokens.json")
    token = store.add("ann")
    assert other.find(token) is not None
    store.revoke("ann")
    assert other.find(token) is None
    with pytest.raises(InklingError, match="ann has no token"):
        store.revoke("ann")


@pytest.mark.parametrize("name", ["", "../ann", "a b", "a\nb", "x" * 65, ".hidden"])
def test_a_name_is_one(store: TokenStore, name: str) -> None:
    check_refused(store, name, says="is no name for a token")


def test_a_name_has_one_token(store: TokenStore) -> None:
    store.add("ann")
    check_refused(store, "ann", says="ann has a token")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[{"name": 1}]'])
def test_a_file_that_is_no_list_of_tokens_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokens.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InklingError, match="holds no tokens"):
        TokenStore(path).all()
