"""Somebody who types what was taken out of a file, and takes what is right of what is shown.

Pure: a file, a seed and what is shown after each keystroke in; the next state of the file out. A
few lines at some places are taken out. The typist goes from one to the other, presses Enter above
it and types its lines: with a pause before each, a slip now and then that is deleted, a few
characters typed again, brackets that the editor closes and that are typed over, and indentation
that it keeps.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

CLOSED_BY_EDITOR: Final = {"(": ")", "[": "]", "{": "}"}

KEY_MS: Final = 180
"""Between two keys: some 65 words a minute."""

LINE_MS: Final = 800
JUMP_MS: Final = 2_000
"""Before a line, and before another place."""

SLIP: Final = 0.02
RETYPE: Final = 0.01
"""Of the keys: a wrong one, and three that are deleted and typed again."""

NUM_PLACES: Final = 2
MAX_LINES: Final = 2


class Keystroke(msgspec.Struct, frozen=True):
    """The file after a key; `pause_ms` is how long the typist took before it."""

    before: str
    after: str
    pause_ms: int


class Typist:
    """Iterate `keystrokes`, and tell `see` what is shown after each."""

    def __init__(self, text: str, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - how somebody types
        self._lines = text.split("\n")
        self._places = _places(self._lines, self._random)
        self._before = self._after = self._left = ""
        self._closed: list[str] = []  # brackets that the editor put behind the cursor
        self._shown = ""
        self.num_accepted = 0

    def see(self, shown: str) -> bool:
        """Take what is shown if it is right, or its first line if that is; say whether it is."""
        right = next((text for text in (shown, _first_line(shown)) if self._is_right(text)), "")
        self._shown = right if len(right) > 1 else ""
        return bool(right)

    def keystrokes(self) -> Iterator[Keystroke]:
        done: list[tuple[int, int]] = []
        for start, end in self._places:
            self._go_to(start, end, done)
            yield self._now(JUMP_MS)
            while self._left:
                yield from self._next()
            done.append((start, end))

    def _go_to(self, start: int, end: int, done: Sequence[tuple[int, int]]) -> None:
        """Stand on a new line in the place of the lines that were taken out."""
        missing = {
            index
            for first, last in self._places
            if (first, last) not in done
            for index in range(first, last)
        }
        kept = [(index, line) for index, line in enumerate(self._lines) if index not in missing]
        wanted = "\n".join(self._lines[start:end])
        indent = len(wanted) - len(wanted.lstrip(" \t"))
        self._before = "".join(f"{line}\n" for index, line in kept if index < start)
        self._before += wanted[:indent]
        self._after = "\n" + "\n".join(line for index, line in kept if index >= end)
        self._left, self._closed = wanted[indent:], []

    def _next(self) -> Iterator[Keystroke]:
        if self._shown:
            text, self._shown = self._shown, ""
            self.num_accepted += 1
            self._write(text)
            yield self._now(KEY_MS)
            return
        chance = self._random.random()
        if chance < SLIP:
            yield self._beside("x", KEY_MS)
            yield self._now(KEY_MS)
        elif chance < SLIP + RETYPE and len(self._before) - self._before.rfind("\n") > 4:
            yield from self._retyped(3)
        yield self._typed()

    def _retyped(self, num_keys: int) -> Iterator[Keystroke]:
        """Delete a few keys and type all but the last again."""
        before = self._before
        lengths = [*range(1, num_keys + 1), *range(num_keys - 1, 0, -1)]
        for length in lengths:
            yield Keystroke(before[:-length], self._after, KEY_MS)

    def _typed(self) -> Keystroke:
        key = self._left[0]
        if key == "\n":  # the editor keeps the next line's indentation
            following = self._left[1:]
            blanks = following[: len(following) - len(following.lstrip(" \t"))]
            self._write(key + blanks)
            return self._now(LINE_MS)
        self._write(key)
        if key in CLOSED_BY_EDITOR and self._rest_is_closed():
            self._closed.append(CLOSED_BY_EDITOR[key])
            self._after = CLOSED_BY_EDITOR[key] + self._after
        return self._now(KEY_MS)

    def _write(self, text: str) -> None:
        """Write what is left up to here, over the brackets that the editor closed."""
        assert self._left.startswith(text)
        self._left = self._left[len(text) :]
        self._before += text
        for mark in text:
            if self._closed and mark == self._closed[-1] and self._after.startswith(mark):
                self._closed.pop()
                self._after = self._after[1:]
            elif mark == "\n":  # what is still closed behind the cursor goes
                self._after = self._after.lstrip("".join(self._closed))
                self._closed = []

    def _rest_is_closed(self) -> bool:
        rest = self._after.partition("\n")[0]
        return not rest.strip("".join(self._closed) + " ")

    def _is_right(self, shown: str) -> bool:
        """Say whether the file would go on as it is to become, with what stands behind it."""
        if not shown.strip() or not self._left.startswith(shown):
            return False
        num_closed = sum(shown.count(mark) for mark in ")]}")
        num_opened = sum(shown.count(mark) for mark in "([{")
        return not self._closed or num_closed <= num_opened

    def _beside(self, key: str, pause_ms: int) -> Keystroke:
        return Keystroke(self._before + key, self._after, pause_ms)

    def _now(self, pause_ms: int) -> Keystroke:
        return Keystroke(self._before, self._after, pause_ms)


def _places(lines: Sequence[str], chooser: random.Random) -> list[tuple[int, int]]:
    """Choose where lines are taken out: a few that say something, apart from each other."""
    found: list[tuple[int, int]] = []
    starts = [index for index, line in enumerate(lines) if index > 5 and _says_something(line)]
    chooser.shuffle(starts)
    for start in starts:
        end = start + chooser.randint(1, MAX_LINES)
        is_apart = all(end + 2 < first or last + 2 < start for first, last in found)
        if is_apart and end < len(lines) and all(map(_says_something, lines[start:end])):
            found.append((start, end))
        if len(found) == NUM_PLACES:
            break
    return found


def _first_line(text: str) -> str:
    """Return the first line that shows something, with the line ends before it."""
    length = len(text) - len(text.lstrip())
    return text[:length] + text[length:].partition("\n")[0]


def _says_something(line: str) -> bool:
    return sum(map(str.isalpha, line)) >= 8 and len(line) <= 90
