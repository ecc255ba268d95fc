"""A prompt goes to the session that saves it most, and another place's session is left alone."""

from inference.cancellation import CancelToken
from inference.completion import owned
from inference.decoding.layout import Layout
from inference.decoding.pool import MAX_SESSIONS, SessionPool
from tests.support.scripted_model import ScriptedModel, noise

HERE = Layout(0, 0, None, ())


def check(*prompts: str, reads: int, sessions: int = 2) -> None:
    """Serve prompts in turn, each for the document and place that its first word names."""
    model = ScriptedModel(noise(1))
    pool = SessionPool(model, max_sessions=sessions)
    for document, text in (prompt.split(": ") for prompt in prompts):
        layout = Layout(0, 0, None, tuple(document.encode()))
        token_ids = list(text.encode())
        before, unread = model.num_tokens_read, pool.num_unread(document, layout, token_ids)
        session = pool.session_for(document, layout, token_ids)
        session.prefill(token_ids, CancelToken())
        assert model.num_tokens_read - before == max(1, unread)
    assert model.num_tokens_read == reads


def test_two_files_keep_a_session_each() -> None:
    check("a: aaaa", "b: bbbb", "a: aaaaa", "b: bbbbb", reads=4 + 4 + 1 + 1)


def test_a_third_file_takes_the_session_unused_for_longest() -> None:
    check("a: aaaa", "b: bbbb", "c: cccc", "b: bbbbb", reads=4 + 4 + 4 + 1)


def test_a_common_first_line_does_not_evict_the_other_file() -> None:
    check("a: abxxxxxxxx", "b: abyyyyyyyy", "a: abxxxxxxxxx", reads=10 + 10 + 1)


def test_one_session_serves_everything() -> None:
    check("a: aaaa", "b: bbbb", "b: bbbbb", reads=4 + 4 + 1, sessions=1)


def test_keystrokes_before_a_long_suffix_open_no_new_session() -> None:
    """What a keystroke drops was the same place: another file keeps its session."""
    suffix = "s" * 20
    check(
        "b: bbbb",
        f"a: d{suffix}",
        f"a: de{suffix}",
        f"a: def{suffix}",
        "b: bbbbb",
        reads=4 + 21 + 21 + 21 + 1,
    )


def test_a_file_that_begins_like_another_reads_on_from_it_where_that_saves_more() -> None:
    check("a: abcdefgh", "b: abcdefxy", reads=8 + 2)


def test_it_knows_what_it_holds_of_a_document() -> None:
    pool = SessionPool(ScriptedModel(noise(1)), max_sessions=3)
    there = Layout(9, 0, None, ())
    for document, layout in [("a", HERE), ("b", HERE), ("a", there)]:
        pool.session_for(document, layout, [1])
    assert pool.layouts("a") == [there, HERE]
    assert pool.layouts("c") == []


def test_nobody_reads_on_from_what_somebody_else_had_read() -> None:
    """Not from a session that is kept, nor from one that is given up for another owner."""
    her, him = owned("ann", "a"), owned("bob", "a")
    check(f"{her}: abcdefgh", f"{him}: abcdefxy", reads=8 + 8)
    check(f"{her}: abcdefgh", f"{him}: abcdefxy", reads=8 + 8, sessions=1)
    check(f"{her}: abcdefgh", f"{owned('ann', 'b')}: abcdefxy", reads=8 + 2)


def test_one_owner_has_no_more_sessions_than_one_person_needs() -> None:
    pool = SessionPool(ScriptedModel(noise(1)), max_sessions=2 * MAX_SESSIONS)
    theirs = pool.session_for(owned("bob", "a"), HERE, [1])
    hers = [pool.session_for(owned("ann", str(n)), HERE, [1]) for n in range(MAX_SESSIONS)]
    assert len({id(session) for session in hers}) == MAX_SESSIONS
    assert pool.session_for(owned("ann", "one more"), HERE, [2]) is hers[0]
    assert pool.session_for(owned("bob", "a"), HERE, [1]) is theirs
