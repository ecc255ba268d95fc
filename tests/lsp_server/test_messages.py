"""Every message that LSP's types allow, and each of them spoilt, has one response or none."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from random import Random

from tests.support.lsp_messages import Message, messages
from tests.support.scripted_engine import ScriptedEngine
from tests.support.sessions import Session

BATCH = 250


async def check(numbered: list[tuple[int, Message]]) -> int:
    """Send them; requests get one response each, and what is valid is understood.

    Returns how many requests were done as they asked.
    """
    session = Session(ScriptedEngine())
    session.initialize()
    session.open("x = \n")
    for number, message in numbered:
        if message.is_request:
            session.request(number, message.method, message.params)
        else:
            session.notify(message.method, message.params)
    for _ in range(50):
        await asyncio.sleep(0)
    answers = {answer["id"]: answer for answer in session.kept.messages if "method" not in answer}
    counts = Counter(answer["id"] for answer in session.kept.messages if "method" not in answer)
    assert counts == Counter(number for number, message in numbered if message.is_request)
    misunderstood = [
        message
        for number, message in numbered
        if message.is_request and message.is_valid
        if "do not fit" in answers[number].get("error", {}).get("message", "")
    ]
    assert misunderstood == []
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    return sum("result" in answer for answer in answers.values())


async def test_every_message_has_one_response_or_none(num_examples: Callable[..., int]) -> None:
    generated = enumerate(messages(Random(0)))
    num_done = 0
    for _ in range(num_examples(short=6_000, long=1_000_000) // BATCH):
        num_done += await check(list(itertools.islice(generated, BATCH)))
    assert num_done > 0
