"""Somebody types in an editor, and whatever they do the server's answers fit what is there.

Thousands of keystrokes as each of the eight clients; with --long a hundred thousand, and crashes
of the editor among them. fake_editor.py says what is asserted at each.
"""

import sys
import time
from collections.abc import Callable

import pytest

from tests.support.code_typist import CodeTypist
from tests.support.fake_editor import FakeEditor
from tests.support.profiles import PROFILES
from tests.support.random_typist import RandomTypist
from tests.support.raw_client import INKLING_LSP
from tests.support.reference_document import ReferenceDocument
from tests.support.telling_server import COMMAND, told

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KEYSTROKES_BETWEEN_CHECKS = 100
LEVELS = ("balanced", "eager")
SEED = 12


@pytest.mark.parametrize("profile", PROFILES)
def test_whatever_somebody_types_the_answers_fit(
    profile: str, num_examples: Callable[..., int]
) -> None:
    num_keystrokes = num_examples(short=400, long=12_500)
    seed = SEED + PROFILES.index(profile)
    settings = {"level": LEVELS[seed % 2]}
    start = time.perf_counter()
    editor = FakeEditor(profile, COMMAND, told, settings)
    try:
        with editor.explained(seed):
            typist = RandomTypist(editor, seed, crashes=num_examples(short=0, long=2))
            for _ in range(num_keystrokes // KEYSTROKES_BETWEEN_CHECKS):
                typist.run(KEYSTROKES_BETWEEN_CHECKS)
                typist.check_texts()
            editor.leave()
    finally:
        editor.kill()
    seconds = time.perf_counter() - start
    sys.stdout.write(
        f"{profile}: {typist.num_keystrokes} keystrokes in {seconds:.0f} s, {editor.num_answered} "
        f"answers, {editor.num_shown} shown, {editor.num_accepted} accepted\n"
    )
    assert editor.num_accepted > 0


SOURCE = """\
class Account:
    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance
        self.history = [("open", balance)]

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError(f"cannot deposit {amount}")
        self.balance += amount
        self.history.append(("deposit", amount))
        return self.balance

    def total(self, kinds=("deposit", "withdraw")):
        return sum(amount for kind, amount in self.history if kind in kinds)


def richest(accounts):
    by_owner = {account.owner: account.balance for account in accounts}
    return max(by_owner.items(), key=lambda item: item[1])[0]


def report(accounts, width=80):
    for account in sorted(accounts, key=lambda account: account.owner):
        print(account.owner.ljust(width - 10), str(account.balance).rjust(10))
    print(sum(len(account.history) for account in accounts))
"""
BEGUN = '"""Accounts."""{0}{0}import os{0}{0}{0}'


@pytest.mark.parametrize(("profile", "line_end"), [("vscode1.139-languageclient11", "\r\n")])
def test_whoever_types_code_gets_no_bracket_twice(
    profile: str, line_end: str, num_examples: Callable[..., int]
) -> None:
    editor = FakeEditor(profile, INKLING_LSP, settings={"deadlineMs": 60_000, "level": "eager"})
    try:
        with editor.explained(SEED):
            text = BEGUN.format(line_end)
            document = ReferenceDocument("file:///workspace/a.py", text, editor.encoding)
            typist = CodeTypist(editor, document, SEED)
            editor.wait_ready()
            for line in SOURCE.splitlines()[: num_examples(short=6, long=100)]:
                typist.type_line(line)
            editor.leave()
    finally:
        editor.kill()
    sys.stdout.write(
        f"{typist.num_keystrokes} keystrokes, {typist.num_tried} accepted and undone, "
        f"{typist.num_in_brackets} of them in front of brackets\n"
    )
    assert typist.num_in_brackets > 0
