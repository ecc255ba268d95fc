"""An editor in a process of its own, which types until it is killed.

Run: python -m tests.support.typing_editor PROFILE SEED
It prints the process id of its server once that completes.
"""

import sys

from tests.support.chaos_server import COMMAND
from tests.support.fake_editor import FakeEditor
from tests.support.random_typist import RandomTypist


def main(profile: str, seed: int) -> None:
    editor = FakeEditor(profile, COMMAND)
    typist = RandomTypist(editor, seed)
    editor.wait_ready()
    sys.stdout.write(f"{editor.client.process.pid}\n")
    sys.stdout.flush()
    while True:
        typist.run(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
