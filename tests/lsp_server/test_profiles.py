import pytest
from lsprotocol.types import PositionEncodingKind

from lsp_server.profiles import client_profile
from tests.support.profiles import PROFILES, initialize_params

EXPECTED = {
    "emacs28-eglot1.9": ("utf-16", True),
    "emacs30-eglot1.17": ("utf-8", True),
    "helix25.01": ("utf-8", False),
    "nvim010": ("utf-16", True),
    "nvim012": ("utf-8", True),
    "nvim07": ("utf-16", True),
    "vim-ale3.3": ("utf-16", False),
    "vscode1.139-languageclient11": ("utf-16", True),
}


def test_every_recorded_profile_is_expected_to_be_something() -> None:
    assert sorted(EXPECTED) == sorted(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_a_client_is_known_by_what_it_says(name: str) -> None:
    profile = client_profile(initialize_params(name))
    encoding, shows_inline_completion = EXPECTED[name]
    assert profile.position_encoding == PositionEncodingKind(encoding)
    assert profile.shows_inline_completion is shows_inline_completion


def test_a_name_and_version_are_kept() -> None:
    profile = client_profile(initialize_params("nvim012"))
    assert (profile.name, profile.version) == ("Neovim", "0.12.4")
