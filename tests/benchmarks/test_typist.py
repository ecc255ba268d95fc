"""Somebody types what was taken out until the file is whole again, whatever is shown."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.typist import Keystroke, Typist

SOURCE = "".join(
    f"def function_{number}(first, second):\n    return combine(first, [second], {number})\n\n"
    for number in range(12)
)


def typed(seed: int, show: Callable[[Keystroke], str]) -> tuple[Typist, list[Keystroke]]:
    typist, keys = Typist(SOURCE, seed), list[Keystroke]()
    for key in typist.keystrokes():
        keys.append(key)
        typist.see(show(key))
    return typist, keys


@given(st.integers(0, 500))
def test_the_file_is_whole_at_the_end(seed: int) -> None:
    _, keys = typed(seed, lambda key: "")
    assert keys[-1].before + keys[-1].after == SOURCE


def test_what_is_right_is_accepted() -> None:
    assert sum(typed(seed, _rest)[0].num_accepted for seed in range(9)) > 9


@given(st.integers(0, 500))
def test_accepting_leads_to_the_same_file_by_fewer_keys(seed: int) -> None:
    slow, one_by_one = typed(seed, lambda key: "")
    fast, keys = typed(seed, _rest)
    assert slow.num_accepted == 0
    assert (len(keys) < len(one_by_one)) == (fast.num_accepted > 0)
    assert keys[-1].before + keys[-1].after == SOURCE


@pytest.mark.parametrize("shown", ["nonsense", "", "\n", " "])
def test_what_is_wrong_is_not_accepted(shown: str) -> None:
    typist, keys = typed(1, lambda key: shown)
    assert typist.num_accepted == 0
    assert keys[-1].before + keys[-1].after == SOURCE


def _rest(key: Keystroke) -> str:
    """Return the rest of the line as the whole file has it, where that is known."""
    line = key.before[key.before.rfind("\n") + 1 :]
    found = SOURCE.find(f"\n{line}") if line.strip() else -1
    return SOURCE[found + 1 + len(line) :].partition("\n")[0] if found >= 0 else ""
