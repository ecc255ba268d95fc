"""What the answering server shall say, and what it has heard."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.raw_client import PATIENCE_SECONDS

ACCEPTED: Final = {"title": "Accepted", "command": "inkling.accepted", "arguments": ["s-1"]}


class Answers:
    """The folder of one answering server. `accepted` is the command that comes with each item."""

    def __init__(self, folder: Path, accepted: Mapping[str, Any] = ACCEPTED) -> None:
        self.folder = folder
        self._accepted = accepted
        self.command = [sys.executable, "-m", "tests.editors.answering_server", str(folder)]
        self.answer()

    def answer(self, *texts: str, **others: object) -> None:
        items = [{"insertText": text, "command": self._accepted} for text in texts]
        temporary = self.folder / "answers.new"
        temporary.write_text(json.dumps({"items": items, **others}))
        temporary.rename(self.folder / "answers.json")

    def forget(self) -> None:
        (self.folder / "heard.jsonl").write_text("")

    def heard(self, method: str, count: int = 1) -> list[Any]:
        """Wait until the server was told so often; return the parameters."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found := self.has_heard(method)) < count:
            assert time.monotonic() < deadline, f"{method}: {found}; {self.methods()}"
            time.sleep(0.01)
        return found

    def has_heard(self, method: str) -> list[Any]:
        return [one.get("params") for one in self._messages() if one.get("method") == method]

    def methods(self) -> list[Any]:
        return [message.get("method") for message in self._messages()]

    def _messages(self) -> list[Any]:
        file = self.folder / "heard.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]
