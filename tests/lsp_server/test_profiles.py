import pytest
from lsprotocol.types import PositionEncodingKind
from msgspec.structs import asdict

from lsp_server.profiles import ClientProfile, client_profile
from tests.support.profiles import PROFILES, recorded_params
from tests.support.sessions import Session

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
    profile = client_profile(recorded_params(name))
    encoding, shows_inline_completion = EXPECTED[name]
    assert profile.position_encoding == PositionEncodingKind(encoding)
    assert profile.shows_inline_completion is shows_inline_completion


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"processId": "x", "clientInfo": 3, "capabilities": []},
        {"clientInfo": {"name": 1}, "capabilities": {"general": {"positionEncodings": 8}}},
        {"capabilities": {"general": {"positionEncodings": [{}, "utf-7"]}, "textDocument": 1}},
    ],
)
def test_what_makes_no_sense_is_not_there(params: dict[str, object]) -> None:
    assert client_profile(params) == ClientProfile()


NOTHING = ClientProfile()
EDITS = "resolves_code_actions versions_edits"
MENU = "resolves_documentation answers_configuration"
CAN = {
    "emacs28-eglot1.9": "answers_configuration registers_watched_files versions_edits",
    "emacs30-eglot1.17": f"{MENU} {EDITS} registers_watched_files shows_progress shows_documents",
    "helix25.01": f"{MENU} {EDITS} creates_files registers_watched_files shows_progress",
    "nvim010": "answers_configuration resolves_code_actions shows_progress shows_documents",
    "nvim012": f"{MENU} resolves_code_actions annotates_edits shows_progress shows_documents",
    "nvim07": "resolves_code_actions shows_progress",
    "vim-ale3.3": "",
    "vscode1.139-languageclient11": f"{MENU} {EDITS} annotates_edits creates_files "
    "keeps_insert_text registers_configuration registers_watched_files shows_documents "
    "shows_progress shows_virtual_documents tags_code_actions",
}


@pytest.mark.parametrize("name", PROFILES)
def test_what_a_client_can_do_is_known(name: str) -> None:
    profile = asdict(client_profile(recorded_params(name)))
    switches = [field for field, value in asdict(NOTHING).items() if value is False]
    can = {field for field in switches if profile[field]} - {"shows_inline_completion"}
    assert can == set(CAN[name].split())


async def test_a_value_of_a_later_version_shuts_nobody_out() -> None:
    session = Session()
    edits = {"failureHandling": "of the future", "resourceOperations": ["of the future"]}
    capabilities = {"workspace": {"workspaceEdit": edits}}
    params = {"processId": None, "trace": "compact", "capabilities": capabilities}
    session.request(1, "initialize", params)
    assert "result" in session.kept.messages[0]


def test_a_name_and_version_are_kept() -> None:
    profile = client_profile(recorded_params("nvim012"))
    assert (profile.name, profile.version) == ("Neovim", "0.12.4")


@pytest.mark.parametrize("name", PROFILES)
async def test_what_a_client_wrote_is_understood(name: str) -> None:
    """Exactly as recorded, with the keys that no version of LSP knows."""
    session = Session()
    session.request(1, "initialize", recorded_params(name))
    (answer,) = session.kept.messages
    assert answer["result"]["capabilities"]["positionEncoding"] == EXPECTED[name][0]
    assert answer["result"]["capabilities"]["textDocumentSync"]["change"] == 2
