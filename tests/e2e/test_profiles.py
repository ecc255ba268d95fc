"""One whole session as each of the eight recorded clients, with a scripted engine."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient

from tests.support.profiles import PROFILES, initialize_params, recorded_params

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

FACE = "\N{GRINNING FACE}"
TEXT = f"face = '{FACE}'\r\ndef f():\f pass\r\n    "
COMMAND = [sys.executable, "-m", "tests.support.scripted_server"]
UNITS = {"utf-8": 4, "utf-16": 2, "utf-32": 1}
CLASSIC = ("helix25.01", "vim-ale3.3")


@pytest_lsp.fixture(
    config=ClientServerConfig(server_command=COMMAND), scope="module", params=PROFILES
)
async def client(lsp_client: LanguageClient, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    lsp_client.profile = request.param
    lsp_client.registered = []

    @lsp_client.feature(types.CLIENT_REGISTER_CAPABILITY)
    def register(params: types.RegistrationParams) -> None:
        lsp_client.registered += [registration.method for registration in params.registrations]

    lsp_client.set_configuration({"inkling": {"maxTokens": 50}})
    params = initialize_params(request.param)
    lsp_client.answer = await lsp_client.initialize_session(params)
    yield
    await lsp_client.shutdown_session()
    assert lsp_client._server.returncode == 0


@pytest.fixture
def uri(client: LanguageClient, request: pytest.FixtureRequest) -> str:
    """A document of this test's own, opened as the client would."""
    uri = f"file:///workspace/{request.node.originalname}.py"
    item = types.TextDocumentItem(uri, "python", 1, TEXT)
    client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    return uri


async def check(client: LanguageClient, uri: str, place: types.Position, *texts: str) -> None:
    """What the client is offered at a place, by the method it knows."""
    document = types.TextDocumentIdentifier(uri)
    if client.profile in CLASSIC:
        params = types.CompletionParams(document, place)
        menu = await client.text_document_completion_async(params)
        assert menu.is_incomplete
        assert tuple(item.text_edit.new_text for item in menu.items) == texts
    else:
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
        params = types.InlineCompletionParams(context, document, place)
        ghosts = await client.text_document_inline_completion_async(params)
        assert tuple(item.insert_text for item in ghosts.items) == texts


async def test_a_completion_is_offered(client: LanguageClient, uri: str) -> None:
    await check(client, uri, types.Position(2, 4), "return 1")


async def test_a_menu_is_only_for_a_client_without_ghost_text(
    client: LanguageClient, uri: str
) -> None:
    """Ghost text is advertised to all: it is answered, too, to those that did not announce it."""
    capabilities = client.answer.capabilities
    is_classic = client.profile in CLASSIC
    assert (capabilities.completion_provider is not None) is is_classic
    assert capabilities.inline_completion_provider is not None
    params = types.CompletionParams(types.TextDocumentIdentifier(uri), types.Position(2, 4))
    menu = await client.text_document_completion_async(params)
    assert bool(menu.items) is is_classic


async def test_a_client_that_answers_is_asked_for_settings(
    client: LanguageClient, uri: str
) -> None:
    await check(client, uri, types.Position(2, 4), "return 1")
    (*_, request) = await _requests(client)
    asked = initialize_params(client.profile).capabilities.workspace.configuration
    assert request.max_tokens == (50 if asked else 64)


async def test_a_client_registers_what_it_offered(client: LanguageClient, uri: str) -> None:
    await check(client, uri, types.Position(2, 4), "return 1")
    offered = [
        f"workspace/{name}"
        for name in ("didChangeConfiguration", "didChangeWatchedFiles")
        if _registers(client.profile, name)
    ]
    assert client.registered == offered


async def test_a_client_can_pause_and_resume(client: LanguageClient, uri: str) -> None:
    for command, texts in (("inkling.pause", ()), ("inkling.resume", ("return 1",))):
        params = types.ExecuteCommandParams(command)
        await client.workspace_execute_command_async(params)
        await check(client, uri, types.Position(2, 4), *texts)


async def test_edits_behind_an_astral_character_land(client: LanguageClient, uri: str) -> None:
    """The column counts the agreed units; the form feed in front of it is no line ending."""
    units = UNITS[client.answer.capabilities.position_encoding]
    place = types.Position(0, len("face = '") + units)
    _change(client, uri, types.Range(place, place), "!")
    _change(client, uri, types.Range(types.Position(2, 0), types.Position(2, 4)), "\treturn")
    await check(client, uri, types.Position(2, 7), *_offered(client, "return"))
    (*_, request) = await _requests(client)
    assert request.prefix == f"face = '{FACE}!'\r\ndef f():\f pass\r\n\treturn"


async def test_a_position_outside_the_file_is_its_end(client: LanguageClient, uri: str) -> None:
    await check(client, uri, types.Position(99, 99), "return 1")
    (*_, request) = await _requests(client)
    assert (request.prefix, request.suffix) == (TEXT, "")


async def test_a_cancelled_request_is_answered(client: LanguageClient, uri: str) -> None:
    await _script(client, is_held=True)
    params = types.CompletionParams(types.TextDocumentIdentifier(uri), types.Position(2, 4))
    method = types.TEXT_DOCUMENT_COMPLETION
    if client.profile not in CLASSIC:
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked)
        params = types.InlineCompletionParams(context, params.text_document, params.position)
        method = types.TEXT_DOCUMENT_INLINE_COMPLETION
    request = client.protocol.send_request_async(method, params, msg_id="held")
    task = asyncio.ensure_future(request)
    await _requests(client)
    client.cancel_request(types.CancelParams("held"))
    with pytest.raises(Exception, match="cancelled"):
        await task
    await _script(client)


async def test_a_closed_document_is_answered_empty(client: LanguageClient, uri: str) -> None:
    document = types.TextDocumentIdentifier(uri)
    client.text_document_did_close(types.DidCloseTextDocumentParams(document))
    await check(client, uri, types.Position(2, 4))


async def test_a_healthy_session_shows_no_message(client: LanguageClient, uri: str) -> None:
    await check(client, uri, types.Position(2, 4), "return 1")
    assert client.messages == []


def _change(client: LanguageClient, uri: str, span: types.Range, text: str) -> None:
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(2, uri),
            [types.TextDocumentContentChangePartial(span, text)],
        )
    )


def _registers(profile: str, name: str) -> bool:
    capabilities = recorded_params(profile)["capabilities"]["workspace"].get(name) or {}
    return capabilities.get("dynamicRegistration") is True


def _offered(client: LanguageClient, word: str) -> tuple[str]:
    """The text of the completion; a menu item repeats the word that it replaces."""
    return (f"{word}return 1",) if client.profile in CLASSIC else ("return 1",)


async def _script(client: LanguageClient, **script: object) -> None:
    await client.protocol.send_request_async("scripted/play", script)


async def _requests(client: LanguageClient) -> list[object]:
    log = await client.protocol.send_request_async("scripted/log", {})
    return log.requests
