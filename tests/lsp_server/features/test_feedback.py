"""What clients say and show of suggestions, over the protocol."""

from typing import Any

import pytest

from lsp_server.insight.journal import Journal
from lsp_server.insight.records import Record
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.sessions import URI, Session, turns

TEXT = "x = "
ANSWER = "sum(values)"


class KeptRecords(Journal):
    """A journal whose file is a list."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        self.records.append(record)


class Talk:
    """A session in which one suggestion was shown, and what was recorded since."""

    def __init__(self) -> None:
        journal = KeptRecords()
        self.session = Session(ScriptedEngine(Script(text=ANSWER)), journal)
        self.records = journal.records
        self.session.initialize()
        self.session.open(TEXT)
        self._number = 0

    async def call(self, method: str, params: object) -> dict[str, Any]:
        self._number += 1
        self.session.request(self._number, method, params)
        await turns()
        (answer,) = [m for m in self.session.kept.messages if m.get("id") == self._number]
        return answer

    async def complete(self, character: int = len(TEXT)) -> dict[str, Any]:
        position = {"line": 0, "character": character}
        document, context = {"uri": URI}, {"triggerKind": 2}
        params = {"textDocument": document, "position": position, "context": context}
        (item,) = (await self.call("textDocument/inlineCompletion", params))["result"]["items"]
        return item

    async def run(self, command: str, *arguments: object) -> dict[str, Any]:
        params = {"command": command, "arguments": list(arguments)}
        return await self.call("workspace/executeCommand", params)

    def insert(self, text: str, *, at: int = len(TEXT), version: int = 2) -> None:
        place = {"line": 0, "character": at}
        change = {"range": {"start": place, "end": place}, "text": text}
        document = {"uri": URI, "version": version}
        params = {"textDocument": document, "contentChanges": [change]}
        self.session.notify("textDocument/didChange", params)

    def kinds(self) -> list[str]:
        return [type(record).__name__ for record in self.records]


async def started() -> tuple[Talk, dict[str, Any]]:
    talk = Talk()
    item = await talk.complete()
    return talk, item


async def test_an_item_carries_what_says_that_it_was_accepted() -> None:
    talk, item = await started()
    command = item["command"]
    assert (await talk.run(command["command"], *command["arguments"]))["result"] is None
    assert talk.kinds() == ["Shown", "RequestRecord", "Accepted"]


@pytest.mark.parametrize("arguments", [[], [None], ["x"], ["-1"], [{}], ["other-1"], [["a"]]])
async def test_what_is_no_item_of_this_session_is_refused(arguments: list[object]) -> None:
    talk, _ = await started()
    assert (await talk.run("inkling.accepted", *arguments))["error"]["code"] == -32602
    assert talk.kinds() == ["Shown", "RequestRecord"]


@pytest.mark.parametrize(
    ("texts", "kinds"),
    [
        ([ANSWER], ["Accepted"]),
        (list(ANSWER), ["Rejected"]),
        (["max"], ["Rejected"]),
        (["sum", "["], ["PartlyAccepted"]),
    ],
)
async def test_what_is_written_in_its_place_says_what_became_of_it(
    texts: list[str], kinds: list[str]
) -> None:
    talk, _ = await started()
    at = len(TEXT)
    for version, text in enumerate(texts, start=2):
        talk.insert(text, at=at, version=version)
        at += len(text)
    assert talk.kinds()[2:] == kinds


async def test_closing_a_document_ends_its_suggestion() -> None:
    talk, _ = await started()
    talk.session.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert talk.kinds()[2:] == ["Rejected"]


OPEN_AGAIN = {"uri": URI, "languageId": "python", "version": 1, "text": "y = "}
NAME = {"uri": URI, "version": 2}


@pytest.mark.parametrize(
    "messages",
    [
        [("didOpen", {"textDocument": OPEN_AGAIN})],
        [
            ("didChange", {"textDocument": NAME, "contentChanges": [{"text": None}]}),
            ("didChange", {"textDocument": NAME, "contentChanges": [{"text": "y = "}]}),
        ],
    ],
    ids=["opened again", "lost and stated whole"],
)
async def test_what_is_shown_goes_with_the_text_around_it(messages: list[Any]) -> None:
    talk, _ = await started()
    talk.session.engine.play(Script(text="other"))
    for name, params in messages:
        talk.session.notify(f"textDocument/{name}", params)
    assert (await talk.complete())["insertText"] == "other"


async def test_a_document_is_followed_under_whatever_spelling_of_its_address() -> None:
    talk, _ = await started()
    place = {"line": 0, "character": len(TEXT)}
    change = {"range": {"start": place, "end": place}, "text": ANSWER[0]}
    name = {"uri": URI.replace("a.py", "a%2Epy"), "version": 2}
    talk.session.notify(
        "textDocument/didChange", {"textDocument": name, "contentChanges": [change]}
    )
    talk.session.engine.play(Script(text="other"))
    assert (await talk.complete(len(TEXT) + 1))["insertText"] == ANSWER[1:]


async def test_copilots_words_are_understood() -> None:
    talk, item = await started()
    talk.session.notify("textDocument/didShowCompletion", {"item": item})
    talk.session.notify(
        "textDocument/didPartiallyAcceptCompletion", {"item": item, "acceptedLength": 3}
    )
    assert talk.kinds() == ["Shown", "RequestRecord", "PartlyAccepted"]
    partly = talk.records[-1]
    assert partly.characters == 3


@pytest.mark.parametrize("method", ["didShowCompletion", "didPartiallyAcceptCompletion"])
@pytest.mark.parametrize(
    "params", [None, [], {}, {"item": None}, {"item": {"command": {"arguments": [1]}}}, "x"]
)
async def test_copilots_words_for_something_else_are_ignored(method: str, params: object) -> None:
    talk, _ = await started()
    talk.session.notify(f"textDocument/{method}", params)
    assert talk.kinds() == ["Shown", "RequestRecord"]


async def test_an_answer_to_what_the_document_was_is_not_shown() -> None:
    talk = Talk()
    talk.session.engine.play(Script(text=ANSWER, is_held=True))
    position = {"line": 0, "character": len(TEXT)}
    params = {"textDocument": {"uri": URI}, "position": position, "context": {"triggerKind": 2}}
    talk.session.request("held", "textDocument/inlineCompletion", params)
    await turns()
    talk.insert("y", at=0)
    talk.session.engine.release()
    await turns()
    assert talk.kinds() == ["RequestRecord"]
    assert talk.session.server.journal.requests[-1].outcome == "outdated"


async def test_the_last_request_is_explained() -> None:
    talk = Talk()
    assert (await talk.run("inkling.explainLast"))["result"] is None
    await talk.complete()
    told = (await talk.run("inkling.explainLast"))["result"]
    assert told["outcome"] == "shown"
    assert told["sentence"].startswith("shown: 11 characters after ")
    assert ANSWER not in str(told)
    assert URI not in str(told)


async def test_silence_is_explained() -> None:
    talk = Talk()
    talk.session.open("")
    params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 0}}
    await talk.call("textDocument/inlineCompletion", {**params, "context": {"triggerKind": 2}})
    told = (await talk.run("inkling.explainLast"))["result"]
    assert told["outcome"] == "blank"
    assert told["sentence"].endswith("ms: the document is blank")
