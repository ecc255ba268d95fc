"""Say what of the user's other files is shown before a hole: snippets about the same, by name.

They are laid out as a model was trained on repositories (inference.fim); for one that was not,
nothing is shown.
"""

from collections.abc import Sequence
from typing import Final

from inference.completion import file_name
from inference.decoding.layout import Beside, Hole
from inference.decoding.loaded import LoadedModel
from inference.recall.memory import Memory

NUM_CHARACTERS_BEFORE: Final = 1_500
NUM_CHARACTERS_BEHIND: Final = 500
"""Around the cursor: what other texts have in common with these is shown."""


class OtherFiles:
    """What of the texts in `memory` is about the same as a place."""

    def __init__(self, loaded: LoadedModel, memory: Memory) -> None:
        self._fim = loaded.fim
        self._encode = loaded.tokenizer.encode
        self._memory = memory

    def beside(self, document: str, hole: Hole, max_tokens: int) -> Beside:
        """Return what stands before a hole, of about `max_tokens`; nothing where nothing does."""
        if self._fim is None or self._fim.file_separator_token_id is None:
            return Beside()
        around = hole.prefix[-NUM_CHARACTERS_BEFORE:] + hole.suffix[:NUM_CHARACTERS_BEHIND]
        found = self._memory.about(self._encode(around), but=document, max_tokens=max_tokens)
        if not found:
            return Beside()
        files = [[*self._name(one.name), *one.token_ids.tolist()] for one in found]
        token_ids = self._fim.other_files(files, self._name(document))
        return Beside(tuple(token_ids), len(files))

    def _name(self, document: str) -> Sequence[int]:
        return self._encode(f"{file_name(document)}\n")
