import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.uris import document_key


@pytest.mark.parametrize(
    "spellings",
    [
        ("file:///C:/a", "file:///c%3A/a", "file:///c%3a/a", "file:/c:/a", "FILE://localhost/C:/a"),
        ("file:///a%20b/%C3%A9.py", "file:///a b/é.py", "file:///a%20b/%c3%a9.py"),
        ("file:///x/%7Euser/a(1).py", "file:///x/~user/a%281%29.py"),
        ("vscode-remote://ssh-remote%2Bhost/a", "vscode-remote://ssh-remote+host/a"),
        ("untitled:Untitled-1", "Untitled:Untitled-1"),
    ],
    ids=lambda spellings: spellings[0],
)
def test_spellings_of_one_address_have_one_key(spellings: tuple[str, ...]) -> None:
    assert len({document_key(uri) for uri in spellings}) == 1


def test_different_addresses_have_different_keys() -> None:
    uris = (
        *("file:///a", "file:///A", "file:///a/", "file://host/a", "file://localhostess/a"),
        *("untitled:a", "untitled:/a", "a", "", "file:", "file:///a#b", "file:///a%23b"),
        *("file:///a/b", "file:///a%2Fb", "file:///c:/a", "file:///c/a", "git:/c:/a", "git:/C:/a"),
        *("vscode-notebook-cell:/a.ipynb#W0", "vscode-notebook-cell:/a.ipynb#W1", "\ud800"),
    )
    assert len({document_key(uri) for uri in uris}) == len(uris)


@given(st.text(max_size=30) | st.text("file:/%C3Aa#", max_size=20))
def test_a_key_is_its_own_key(uri: str) -> None:
    key = document_key(uri)
    assert document_key(key) == key
