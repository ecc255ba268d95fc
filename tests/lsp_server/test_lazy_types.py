"""In processes of their own: in this one the types have long been imported."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

COUNT = """
from lsp_server.lazy_types import import_types
import_types()
from lsprotocol import types
classes = [kind for kind in vars(types).values() if isinstance(kind, type)]
def count(): return sum("_is_unbuilt" in vars(kind) for kind in classes)
"""


def check(program: str, expected: object) -> None:
    """What a program prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, cwd=ROOT, timeout=60
    )
    assert json.loads(done.stdout) == expected


def test_no_class_is_built_until_it_is_needed() -> None:
    check(COUNT + "print(int(count() > 500))", 1)


def test_a_class_is_built_when_it_is_made_or_looked_into_and_then_like_any_other() -> None:
    program = """
import attrs, copy, json
before = count()
place = types.Position(1, 2)
assert attrs.has(types.Range) and attrs.fields(types.Range).start.type is types.Position
same = copy.deepcopy(place) == place == types.Position(line=1, character=2)
try:
    types.Position("1", 2)
except (TypeError, ValueError):
    refused = True
print(json.dumps([before - count(), same, refused, place < types.Position(1, 3)]))
"""
    check(COUNT + program, [2, True, True, True])


def test_a_server_that_has_initialized_built_few_of_them() -> None:
    program = """
import asyncio, json
from tests.support.sessions import Session
async def main():
    session = Session()
    session.request(1, "initialize", {"capabilities": {}})
    assert "result" in session.kept.messages[0]
asyncio.run(main())
print(int(count() > 450))
"""
    check(COUNT + program, 1)


def test_types_that_were_imported_before_stay_as_they_are() -> None:
    program = """
from lsprotocol import types
from lsp_server.lazy_types import import_types
import_types()
print(int("_is_unbuilt" in vars(types.Position)))
"""
    check(program, 0)


def test_who_types_waits_for_no_class_to_be_built() -> None:
    program = """
import asyncio, json
from tests.support.raw_client import inline_params
from tests.support.sessions import URI, Session, turns
async def main():
    session = Session()
    session.request(1, "initialize", {"capabilities": {}})
    session.notify("initialized", {})
    for _ in range(5):
        await turns()
    before = count()
    session.open("x = 1")
    place = {"line": 0, "character": 5}
    change = {"range": {"start": place, "end": place}, "text": "0"}
    session.notify("textDocument/didChange",
                   {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [change]})
    for number, kind in enumerate(("inlineCompletion", "completion"), start=2):
        session.request(number, f"textDocument/{kind}", inline_params(0, 6))
        for _ in range(5):
            await turns()
    answers = [message for message in session.kept.messages if message.get("id") in (2, 3)]
    print(json.dumps([before - count(), [bool(one["result"]["items"]) for one in answers]]))
asyncio.run(main())
"""
    check(COUNT + program, [0, [True, True]])
