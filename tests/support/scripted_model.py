"""A LanguageModel that computes nothing: it plays a text, or a reproducible noise.

Its cache is a buffer that is overwritten in place, as the real one is, so that a session which
rewinds wrongly gets wrong logits.
"""

from collections.abc import Callable, Sequence

import numpy as np

from inference.cancellation import CancelToken
from inference.chat import ChatTemplate, Turn
from inference.decoding.loaded import LoadedModel
from inference.fim import FimTemplate
from inference.runtime.language_model import KvCache, Logits
from inference.runtime.tokenizer import Tokenizer
from tests.support.byte_tokenizer import SPECIAL_TOKENS, VOCAB_SIZE, byte_tokenizer

END = SPECIAL_TOKENS["<|endoftext|>"]
FIM = FimTemplate(
    order="spm",
    prefix_token_id=SPECIAL_TOKENS["<|fim_prefix|>"],
    suffix_token_id=SPECIAL_TOKENS["<|fim_suffix|>"],
    middle_token_id=SPECIAL_TOKENS["<|fim_middle|>"],
)

CHAT = ChatTemplate(
    user=Turn(before=(SPECIAL_TOKENS["<|fim_prefix|>"], "user\n"), behind=("\n",)),
    assistant=Turn(before=("assistant\n",)),
)

NextToken = Callable[[Sequence[int]], int]


class ScriptedCache:
    """It can go back to multiples of `stride`, as layers can that keep their state now and then."""

    def __init__(self, capacity: int, stride: int = 1) -> None:
        self._capacity = capacity
        self._stride = stride
        self.buffer = [-1] * capacity
        self.length = 0

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def goes_back_to_runs(self) -> bool:
        return self._stride > 1

    def rewind(self, length: int) -> int:
        assert 0 <= length <= self.length
        if length < self.length:
            self.length = length - length % self._stride
        return self.length

    def tokens(self, length: int) -> Sequence[int]:
        return self.buffer[:length]


class ScriptedModel:
    """`on_forward` is called before each run with the number of runs so far; it may raise.

    `on_cancel` is called when a run is cancelled while `on_forward` keeps it waiting.
    """

    def __init__(
        self,
        next_token: NextToken,
        *,
        context_length: int = 512,
        stride: int = 1,
        on_forward: Callable[[int], None] = lambda _: None,
        on_cancel: Callable[[], None] = lambda: None,
    ) -> None:
        self._next_token = next_token
        self._context_length = context_length
        self._stride = stride
        self.on_forward = on_forward
        self._on_cancel = on_cancel
        self.num_forwards = self.num_rests = 0
        self.num_tokens_read = 0
        self.ends_read: set[tuple[int, ...]] = set()  # each token read, with the four before it

    @property
    def vocab_size(self) -> int:
        return VOCAB_SIZE

    @property
    def context_length(self) -> int:
        return self._context_length

    @property
    def num_cache_bytes(self) -> int:
        return self._context_length

    def create_cache(self) -> ScriptedCache:
        return ScriptedCache(self._context_length, self._stride)

    def forward(
        self, token_ids: Sequence[int], cache: KvCache, *, num_logits: int, cancel: CancelToken
    ) -> Logits:
        assert isinstance(cache, ScriptedCache)
        assert 0 < num_logits <= len(token_ids) <= cache.capacity - cache.length
        self.num_forwards += 1
        cancel.raise_if_set()
        end = cache.length + len(token_ids)
        cache.buffer[cache.length : end] = token_ids
        with cancel.calling(self._on_cancel):
            self.on_forward(self.num_forwards)
        cancel.raise_if_set()
        cache.length = end
        self.num_tokens_read += len(token_ids)
        lengths = range(end - len(token_ids) + 1, end + 1)
        self.ends_read.update(tuple(cache.tokens(length)[-5:]) for length in lengths)
        logits = np.zeros((num_logits, self.vocab_size), np.float32)
        for row in range(num_logits):
            logits[row, self._next_token(cache.tokens(end - num_logits + 1 + row))] = 1
        return logits

    def rest(self) -> None:
        self.num_rests += 1


def playing(text: str) -> NextToken:
    """Return a next-token function that writes `text` after any prompt, then ends."""
    script = [*text.encode(), END]

    def next_token(token_ids: Sequence[int]) -> int:
        for num_written in range(min(len(script) - 1, len(token_ids)), 0, -1):
            if list(token_ids[-num_written:]) == script[:num_written]:
                return script[num_written]
        return script[0]

    return next_token


def noise(seed: int) -> NextToken:
    """Return a next-token function that depends on every token before it, in order."""

    def next_token(token_ids: Sequence[int]) -> int:
        state = seed
        for token_id in token_ids:
            state = (state * 1_000_003 ^ token_id) % 2_147_483_647
        return state % 256

    return next_token


def loaded(model: ScriptedModel, fim: FimTemplate | None = FIM) -> LoadedModel:
    return LoadedModel(
        name="scripted",
        model=model,
        tokenizer=Tokenizer(byte_tokenizer().to_str().encode()),
        fim=fim,
        end_token_ids=frozenset(SPECIAL_TOKENS.values()),
    )
