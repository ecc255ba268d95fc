"""Look into a completion: read it again as the model wrote it, with everything in sight.

The prompt is the one of filling, with the token at the cursor held back, so the completion's first
tokens are those that spell it. What stands far from the cursor is left out: a look costs the
reading of all, and somebody waits.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from inference.completion import CompletionRequest
from inference.decoding.healing import Vocabulary
from inference.decoding.layout import Hole, fresh_layout
from inference.decoding.line_ends import with_line_feeds
from inference.decoding.probabilities import log_probabilities
from inference.decoding.prompt import open_prompt
from inference.dissection import Candidate, Dissection, ExpertShare, SeenToken
from inference.errors import InvalidRequestError
from inference.package.manifest import TOKENIZER_FILE, read_manifest, verify_files
from inference.runtime.caches.layer_cache import Array
from inference.runtime.probe import Probe
from inference.runtime.tokenizer import Tokenizer
from inference.timing import now_ms

MAX_PROMPT_TOKENS: Final = 512
MAX_TOKENS: Final = 256
NUM_CANDIDATES: Final = 5


class Subject:
    """A package that can be looked into."""

    def __init__(self, folder: Path) -> None:
        """Load it. Raises ModelNotFoundError or InvalidModelError."""
        manifest = self._manifest = read_manifest(folder)
        verify_files(manifest, folder)
        named = manifest.layout_token_ids | {*manifest.eos_token_ids, *manifest.leading_token_ids}
        self._tokenizer = Tokenizer.load(folder / TOKENIZER_FILE, named=frozenset(named))
        self._vocabulary = Vocabulary(self._tokenizer.pieces)
        self._probe = Probe(folder, manifest)

    def dissect(self, request: CompletionRequest, text: str) -> Dissection:
        """Look into `text` as a completion of a hole.

        Raises InvalidRequestError where there is nothing to read before it, or nothing in it.
        """
        started = now_ms()
        prompt, held_back = self._prompt(request)
        token_ids = self._tokenizer.encode(held_back.decode() + with_line_feeds(text))[:MAX_TOKENS]
        if not prompt or not text:
            raise InvalidRequestError("there is nothing to look into; complete something first")
        read = [*prompt, *token_ids]
        seen = self._probe.read(read, len(prompt) - 1)
        rows = log_probabilities(seen.logits[: len(token_ids)])
        routers = [router[len(prompt) :] for router in seen.routers]
        return Dissection(
            tokens=self._tokens(token_ids, rows, routers, len(held_back)),
            num_prompt=len(prompt),
            num_experts=routers[0].shape[1] if routers else 0,
            elapsed_ms=now_ms() - started,
        )

    def _prompt(self, request: CompletionRequest) -> tuple[list[int], bytes]:
        """Return what is read before a completion, and the bytes that are held back."""
        hole = Hole.of(request)
        fim, encode = self._manifest.fim, self._tokenizer.encode
        layout = fresh_layout(hole, fim, encode, max_tokens=MAX_PROMPT_TOKENS)
        prompt = open_prompt(hole, layout, fim, encode, can_heal=self._vocabulary.can_heal)
        held_back = prompt.held_back
        wanted = b"" if held_back is None else self._vocabulary.piece(held_back)
        return [*self._manifest.leading_token_ids, *prompt.token_ids], wanted

    def _tokens(
        self,
        token_ids: Sequence[int],
        rows: npt.NDArray[np.float64],
        routers: Sequence[Array],
        num_held: int,
    ) -> tuple[SeenToken, ...]:
        found = list[SeenToken]()
        for index, (token_id, row) in enumerate(zip(token_ids, rows, strict=True)):
            piece = self._vocabulary.piece(token_id)
            found.append(
                SeenToken(
                    text=self._tokenizer.shown(token_id),
                    log_probability=float(row[token_id]),
                    rank=1 + int((row > row[token_id]).sum()),
                    num_healed=len(piece[:num_held].decode(errors="ignore")),
                    candidates=self._candidates(row),
                    experts=tuple(_experts(router[index], self._num_chosen) for router in routers),
                )
            )
            num_held = max(0, num_held - len(piece))
        return tuple(found)

    def _candidates(self, row: npt.NDArray[np.float64]) -> tuple[Candidate, ...]:
        likeliest = np.argsort(-row)[:NUM_CANDIDATES].tolist()
        return tuple(
            Candidate(text=self._tokenizer.shown(token_id), log_probability=float(row[token_id]))
            for token_id in likeliest
        )

    @property
    def _num_chosen(self) -> int:
        return self._manifest.architecture.num_experts_per_tok


def _experts(values: Array, num_chosen: int) -> tuple[ExpertShare, ...]:
    """Return the experts that a router's values choose, the largest share first.

    Values are logits, or weights where only those of chosen experts are not zero.
    """
    chosen = np.argsort(-values)[:num_chosen]
    largest = values[chosen].astype(np.float64)
    are_weights = np.count_nonzero(values) <= num_chosen and (largest >= 0).all()
    weights = largest if are_weights else np.exp(largest - largest.max())
    shares = weights / max(float(weights.sum()), 1e-30)
    return tuple(
        ExpertShare(expert=int(expert), share=float(share))
        for expert, share in zip(chosen, shares, strict=True)
    )
