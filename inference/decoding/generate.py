"""Write token after token: read the logits, choose one, append it, again.

Tokens only; the caller decides from the text when it has enough and simply stops asking. Where
guesses are given, a run reads them behind the token that was chosen, and those that are chosen as
well need no run of their own; the others are forgotten.
"""

from collections.abc import Callable, Generator
from collections.abc import Set as AbstractSet

from inference.cancellation import CancelToken
from inference.decoding.drafting import NO_DRAFT, Draft, Guesses, Predict
from inference.decoding.session import Session
from inference.runtime.language_model import Logits
from inference.timing import now_ms

Choose = Callable[[Logits], int]
"""From one row of logits, [vocab_size], to the next token."""


def generate(
    session: Session,
    logits: Logits,
    choose: Choose,
    end_token_ids: AbstractSet[int],
    cancel: CancelToken,
    guesses: Guesses | None = None,
) -> Generator[int]:
    """Yield token ids until an end token or a full cache.

    `logits` are those of the last token read, [1, vocab_size].
    A token is read only when the one after it is asked for, so the last one costs no forward.
    Raises RequestCancelledError.
    """
    if guesses is not None:
        guesses.begin(session.token_ids, session.capacity)
    logits, draft, num_right = logits[-1:], NO_DRAFT, 0
    while True:
        cancel.raise_if_set()
        token_id = choose(logits[num_right])
        is_guessed = num_right < len(draft.token_ids)
        is_right = is_guessed and draft.token_ids[num_right] == token_id
        if guesses is not None and is_guessed:
            guesses.note(draft, is_right=is_right)
        if token_id in end_token_ids:
            return
        yield token_id
        if guesses is not None:
            guesses.written(token_id)
        if is_right:
            num_right += 1
            continue
        session.drop(len(draft.token_ids) - num_right)
        if session.cache_length >= session.capacity:
            return
        logits, draft, num_right = *_run(session, token_id, cancel, guesses), 0


def _run(
    session: Session, token_id: int, cancel: CancelToken, guesses: Guesses | None
) -> tuple[Logits, Draft]:
    """Read a token and what is guessed behind it; return the logits of each."""
    if guesses is None:
        return session.append([token_id], cancel), NO_DRAFT
    room = 0 if session.goes_back_to_runs else session.capacity - session.cache_length - 1
    draft = guesses.next(room, _predict(session, token_id, cancel, guesses))
    token_ids = [token_id, *draft.token_ids]
    started = now_ms()
    logits = session.append(token_ids, cancel, num_logits=len(token_ids))
    guesses.took(len(token_ids), now_ms() - started)
    return logits, draft


def _predict(
    session: Session, token_id: int, cancel: CancelToken, guesses: Guesses
) -> Predict | None:
    """Return what asks the predictor for so many tokens behind one; None where there is none."""
    predictor = guesses.predictor
    if predictor is None:
        return None
    return lambda num_tokens: session.guess(
        predictor, token_id, num_tokens=num_tokens, cancel=cancel
    )
