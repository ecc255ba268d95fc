"""Code actions over LSP: offered, resolved, run by command, refused behind a change."""

import asyncio
from typing import Any

import pytest

from inference import EngineState, EngineStatus
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.sessions import URI, Session, turns

STUB = "def double(number):\n    pass\n"
RESOLVES = {"resolveSupport": {"properties": ["edit"]}, "tagSupport": {"valueSet": [1]}}
EDITS = {"documentChanges": True, "changeAnnotationSupport": {}, "resourceOperations": ["create"]}


def started(
    *,
    resolves: bool = True,
    edits: object = None,
    content: bool = False,
    instructed: bool = False,
    script: Script | None = None,
    **options: object,
) -> Session:
    status = EngineStatus(
        state=EngineState.READY, fills_holes=True, follows_instructions=instructed
    )
    session = Session(ScriptedEngine(script or Script(text="return 2 * number"), status))
    workspace: dict[str, Any] = {"workspaceEdit": edits or {}}
    if content:
        workspace["textDocumentContent"] = {}
    session.initialize(
        capabilities={
            "textDocument": {"codeAction": RESOLVES if resolves else {}},
            "workspace": workspace,
        },
        initializationOptions=options,
    )
    return session


async def answer(session: Session, method: str, params: object) -> Any:
    session.request(1, method, params)
    for _ in range(1_000):
        await turns()
        await asyncio.sleep(0.002)  # a grammar looks at the syntax in a thread
        for message in session.kept.messages:
            if message.get("id") == 1 and "method" not in message:
                session.kept.messages.clear()
                return message.get("result", message.get("error"))
        reply_to_edits(session)
    raise AssertionError(session.kept.messages)


def reply_to_edits(session: Session) -> None:
    """Say to what the server asks that it was done, and keep it."""
    for message in list(session.kept.messages):
        if "id" in message and "method" in message:
            session.kept.messages.remove(message)
            session.asked = [*getattr(session, "asked", []), message]
            session.receive({"jsonrpc": "2.0", "id": message["id"], "result": {"applied": True}})


def params(line: int, character: int, **context: object) -> dict[str, Any]:
    place = {"line": line, "character": character}
    return {
        "textDocument": {"uri": URI},
        "range": {"start": place, "end": place},
        "context": {"diagnostics": [], **context},
    }


async def offered(session: Session, **context: object) -> list[Any]:
    return await answer(session, "textDocument/codeAction", params(1, 4, **context))


def titles(actions: list[Any]) -> list[str]:
    return [action["title"] for action in actions]


async def test_what_can_be_done_is_offered_and_says_who_writes_it() -> None:
    session = started()
    session.open(STUB)
    actions = await offered(session)
    assert titles(actions) == ["Write this body", "Document this function", "Add type annotations"]
    assert all(action["tags"] == [1] and "data" in action for action in actions)
    assert session.engine.log.requests == []


async def test_an_instructed_model_is_offered_for_more() -> None:
    session = started(instructed=True)
    session.open(STUB)
    assert "Explain this code" in titles(await offered(session))


@pytest.mark.parametrize(
    ("only", "expected"),
    [(["quickfix"], []), (["refactor"], 3), (["refactor.rewrite"], 3), (["source"], [])],
)
async def test_only_the_kinds_that_are_asked_for_are_offered(only: object, expected: Any) -> None:
    session = started()
    session.open(STUB)
    found = await offered(session, only=only)
    assert found == expected or len(found) == expected


@pytest.mark.parametrize("options", [{"codeActions": False}, {"enable": False}])
async def test_nothing_is_offered_where_the_user_wants_nothing(options: dict[str, object]) -> None:
    session = started(**options)
    session.open(STUB)
    assert await offered(session) == []


async def test_nothing_is_offered_in_a_file_that_holds_secrets() -> None:
    session = started()
    session.open(STUB, uri="file:///workspace/.env")
    where = {**params(1, 4), "textDocument": {"uri": "file:///workspace/.env"}}
    assert await answer(session, "textDocument/codeAction", where) == []


async def test_the_edit_is_computed_when_it_is_asked_for() -> None:
    session = started()
    session.open(STUB)
    action = await answer(session, "codeAction/resolve", (await offered(session))[0])
    (edit,) = action["edit"]["changes"][URI]
    assert edit == {
        "range": {"start": {"line": 0, "character": 19}, "end": {"line": 1, "character": 8}},
        "newText": "\n    return 2 * number",
    }


async def test_an_edit_is_for_a_version_and_says_what_it_is_where_that_is_known() -> None:
    session = started(edits=EDITS)
    session.open(STUB)
    action = await answer(session, "codeAction/resolve", (await offered(session))[0])
    (change,) = action["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": URI, "version": 1}
    annotation = change["edits"][0]["annotationId"]
    assert action["edit"]["changeAnnotations"][annotation]["label"] == "Write this body"


async def test_where_nothing_good_comes_the_action_is_disabled() -> None:
    session = started(script=Script(text="pass"))
    session.open(STUB)
    action = await answer(session, "codeAction/resolve", (await offered(session))[0])
    assert "edit" not in action
    assert "nothing to offer" in action["disabled"]["reason"]


async def test_a_client_that_resolves_nothing_gets_a_command_that_edits() -> None:
    session = started(resolves=False)
    session.open(STUB)
    action = (await offered(session))[0]
    command = action["command"]
    run = {"command": command["command"], "arguments": command["arguments"]}
    assert await answer(session, "workspace/executeCommand", run) == {"applied": True}
    (asked,) = session.asked
    assert asked["method"] == "workspace/applyEdit"
    assert asked["params"]["edit"]["changes"][URI][0]["newText"].endswith("return 2 * number")


async def test_a_document_that_has_changed_is_left_alone() -> None:
    session = started()
    session.open(STUB)
    action = (await offered(session))[0]
    change = {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [{"text": "x"}]}
    session.notify("textDocument/didChange", change)
    assert (await answer(session, "codeAction/resolve", action))["code"] == -32801


@pytest.mark.parametrize("data", [None, {}, {"action": "fix"}, "x", {"uri": 1}])
async def test_what_is_no_action_of_ours_is_left_as_it_is(data: object) -> None:
    session = started()
    action = {"title": "x", "kind": "quickfix", "data": data}
    resolved = await answer(session, "codeAction/resolve", action)
    assert resolved["title"] == "x"
    assert "edit" not in resolved
    run = {"command": "inkling.runAction", "arguments": [data]}
    assert (await answer(session, "workspace/executeCommand", run))["code"] == -32602


async def test_a_diagnostic_is_repaired() -> None:
    session = started(script=Script(text="number"))
    session.open("def double(number):\n    return 2 * nubmer\n")
    span = {"start": {"line": 1, "character": 15}, "end": {"line": 1, "character": 21}}
    diagnostic = {"range": span, "message": "undefined name 'nubmer'"}
    (action, *_) = await offered(session, diagnostics=[diagnostic])
    assert action["title"] == "Repair: undefined name 'nubmer'"
    assert action["diagnostics"] == [diagnostic]
    resolved = await answer(session, "codeAction/resolve", action)
    assert resolved["edit"]["changes"][URI] == [{"range": span, "newText": "number"}]


async def test_an_explanation_is_a_text_of_its_own_or_a_comment() -> None:
    for content in (True, False):
        session = started(instructed=True, content=content, script=Script(text="It doubles."))
        session.open("def double(number):\n    return 2 * number\n")
        (action,) = await offered(session, only=["source"])
        command = action["command"]
        run = {"command": command["command"], "arguments": command["arguments"]}
        result = await answer(session, "workspace/executeCommand", run)
        if content:
            assert session.server.virtual_documents.get(result["uri"]) == "It doubles.\n"
        else:
            edit = session.asked[-1]["params"]["edit"]["changes"][URI][0]
            assert edit["newText"] == "# It doubles.\n"
            assert edit["range"]["start"] == {"line": 0, "character": 0}
