"""Write token after token: read the logits, choose one, append it, again.

Tokens only; the caller decides from the text when it has enough and simply stops asking.
"""

from collections.abc import Callable, Generator
from collections.abc import Set as AbstractSet

from inference.cancellation import CancelToken
from inference.decoding.session import Session
from inference.runtime.language_model import Logits

Choose = Callable[[Logits], int]
"""From one row of logits, [vocab_size], to the next token."""


def generate(
    session: Session,
    logits: Logits,
    choose: Choose,
    end_token_ids: AbstractSet[int],
    cancel: CancelToken,
) -> Generator[int]:
    """Yield token ids until an end token or a full cache.

    `logits` are those of the last token read, [1, vocab_size].
    A token is read only when the one after it is asked for, so the last one costs no forward.
    Raises RequestCancelledError.
    """
    while True:
        cancel.raise_if_set()
        token_id = choose(logits[-1])
        if token_id in end_token_ids:
            return
        yield token_id
        if session.cache_length >= session.capacity:
            return
        logits = session.append([token_id], cancel)
