"""CancelToken: set once, from any thread, heard by all."""

import threading
from collections.abc import Callable

import pytest

from inference.cancellation import CancelToken
from inference.errors import RequestCancelledError

TIMEOUT_S = 30.0


def check(act: Callable[[CancelToken, Callable[[], None]], None], *, calls: int) -> None:
    """Let `act` use a token and a callback, and count the calls."""
    called: list[threading.Thread] = []
    act(CancelToken(), lambda: called.append(threading.current_thread()))
    assert len(called) == calls


def test_a_new_token_is_not_set() -> None:
    token = CancelToken()
    assert not token.is_set
    token.raise_if_set()


def test_a_set_token_raises() -> None:
    token = CancelToken()
    token.set()
    assert token.is_set
    with pytest.raises(RequestCancelledError, match="was cancelled"):
        token.raise_if_set()


def test_a_callback_runs_when_the_token_is_set() -> None:
    def act(token: CancelToken, callback: Callable[[], None]) -> None:
        with token.calling(callback):
            token.set()

    check(act, calls=1)


def test_a_callback_runs_at_once_when_the_token_is_set_already() -> None:
    def act(token: CancelToken, callback: Callable[[], None]) -> None:
        token.set()
        with token.calling(callback):
            pass

    check(act, calls=1)


def test_setting_twice_calls_once() -> None:
    def act(token: CancelToken, callback: Callable[[], None]) -> None:
        with token.calling(callback):
            token.set()
            token.set()

    check(act, calls=1)


def test_after_its_block_a_callback_is_forgotten() -> None:
    def act(token: CancelToken, callback: Callable[[], None]) -> None:
        with token.calling(callback):
            pass
        token.set()

    check(act, calls=0)


def test_after_a_block_that_raised_a_callback_is_forgotten() -> None:
    def act(token: CancelToken, callback: Callable[[], None]) -> None:
        with pytest.raises(KeyError), token.calling(callback):
            raise KeyError
        token.set()

    check(act, calls=0)


def test_two_callbacks_both_run() -> None:
    def act(token: CancelToken, callback: Callable[[], None]) -> None:
        with token.calling(callback), token.calling(callback):
            token.set()

    check(act, calls=2)


def test_a_callback_may_read_the_token() -> None:
    """A callback runs outside the token's lock."""
    token = CancelToken()
    with token.calling(token.set):
        token.set()
    assert token.is_set


def test_many_threads_set_it_and_each_callback_runs_once() -> None:
    for _ in range(50):
        token = CancelToken()
        start = threading.Barrier(4)
        called: list[int] = []

        def set_together(token: CancelToken = token, start: threading.Barrier = start) -> None:
            start.wait(TIMEOUT_S)
            token.set()

        threads = [threading.Thread(target=set_together) for _ in range(3)]
        for thread in threads:
            thread.start()
        with token.calling(lambda called=called: called.append(1)):
            start.wait(TIMEOUT_S)
            for thread in threads:
                thread.join(TIMEOUT_S)
        assert called == [1]
