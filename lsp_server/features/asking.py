"""What code actions ask of the engine: fill a hole, follow an instruction, look at syntax."""

import asyncio
from typing import Final, Literal

from inference import (
    CompletionRequest,
    Engine,
    InstructionRequest,
    Message,
    num_syntax_errors,
)
from lsp_server.actions.action import Filled
from lsp_server.convert import document_name, encodable
from lsp_server.documents import Document

BEFORE_CHARACTERS: Final = 2_400
BEHIND_CHARACTERS: Final = 800
"""What is shown of a document around a hole: it is read anew for each."""

CODE_CHARACTERS: Final = 6_000
DEADLINE_MS: Final = 30_000
SYSTEM: Final = "You are a careful programmer. You answer briefly and to the point."


class EngineAsk:
    """Asks in the document's name, but never in the place of what is being completed in it."""

    def __init__(self, engine: Engine, document: Document) -> None:
        self._engine = engine
        self._name = f"action in {document_name(document)}"[-4_000:]
        self._language = document.language_id[:100]

    async def fill(
        self,
        before: str,
        behind: str,
        *,
        scope: Literal["line", "block"] = "block",
        max_tokens: int = 128,
    ) -> Filled:
        prefix = encodable(before[-BEFORE_CHARACTERS:])
        completion = await self._engine.complete(
            CompletionRequest(
                document=self._name,
                prefix=prefix,
                suffix=encodable(behind[:BEHIND_CHARACTERS]),
                language=encodable(self._language),
                scope=scope,
                max_tokens=max_tokens,
                deadline_ms=DEADLINE_MS,
            )
        )
        lowest = min(completion.log_probabilities, default=float("-inf"))
        return Filled(completion.text, lowest)

    async def instruct(self, task: str, code: str, *, max_tokens: int = 256) -> str:
        if not self._engine.status().follows_instructions:
            return ""
        said = f"{task}\n\n```{self._language}\n{code[:CODE_CHARACTERS]}\n```"
        request = InstructionRequest(
            document=self._name,
            messages=(Message("system", SYSTEM), Message("user", encodable(said))),
            max_tokens=max_tokens,
            deadline_ms=DEADLINE_MS,
        )
        return (await self._engine.complete(request)).text

    async def num_errors(self, text: str) -> int:
        found = await asyncio.to_thread(num_syntax_errors, text, self._language)
        return found or 0
