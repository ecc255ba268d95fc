"""Walk the whole way from corpus.toml to a package, by a machine that nothing reaches.

    python -m training.loop.rehearse FOLDER [--minutes 2] [--inkling inkling]

FOLDER/here is a copy of what git knows, with a corpus of few packages: it fetches, cleans, learns a
vocabulary and packs. FOLDER/there holds only what would travel, one parcel after the other; a run
of nano is trained there in two processes. Its parts come back and are exported. Prints what each
step took.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from training.errors import tell
from training.loop import machine

PACKAGES: Final = frozenset(
    {"click", "flask", "jinja2", "requests", "networkx", "sqlalchemy", "twisted", "express", "zod"}
    | {"starlette", "fastify", "werkzeug"}
)
"""25 MB of archives; the last three are held out."""

ROOT: Final = Path(__file__).parents[2]
_STAYS: Final = ("training/checkpoints/", "inference/default_model/", "training/runs/")
_NUM_SHARDS: Final = 2
_TABLE: Final = "[[package]]"


class Steps:
    """Runs commands, each in a copy of the project, and remembers how long they took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def python(self, folder: Path, module: str, *arguments: str) -> None:
        """Run a module; subprocess.CalledProcessError where it fails."""
        self.run(folder, [sys.executable, "-m", module, *arguments], name=module)

    def run(self, folder: Path, command: Sequence[str], *, name: str) -> None:
        began = time.monotonic()
        subprocess.run(command, check=True, cwd=folder)
        self.seconds[name] = self.seconds.get(name, 0) + time.monotonic() - began
        print(f"{name}: {self.seconds[name]:.0f} s", flush=True)


def rehearse(folder: Path, *, minutes: float, inkling: str) -> Steps:
    """Do every step in order; any that fails raises subprocess.CalledProcessError."""
    here, there, home, back = (folder / name for name in ("here", "there", "home", "back"))
    steps = Steps()
    _copy_tree(here)
    _copy_tree(there)
    _keep_packages(here / "training" / "corpus.toml")
    _collect(steps, here)
    for number in range(_NUM_SHARDS):
        steps.python(here, "training.loop.machine", "parcel", str(number))
        parcel = here / "training" / "data" / "parcel"
        steps.python(there, "training.loop.machine", "receive", str(parcel), str(home))
    _train(steps, there, home, minutes)
    run = home / "runs" / "rehearsal"
    for part, _ in enumerate(machine.parts(run), start=1):
        given = folder / f"given-{part}"
        given.mkdir()
        steps.python(
            there, "training.loop.machine", "give", str(run), str(given), "--part", str(part)
        )
        steps.python(here, "training.loop.machine", "take", str(given), str(back))
    # two minutes of training write nothing that could be held to the gate
    options = ["--fim-order", "spm", "--accept-quality"]
    export = [inkling, "export", str(back / "checkpoint"), "--output", str(folder / "package")]
    steps.run(folder, [*export, *options], name="inkling export")
    return steps


def _collect(steps: Steps, here: Path) -> None:
    wheels = here / "training" / "data" / "wheels"
    download = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", str(wheels)]
    steps.python(here, "pip", *download, "msgspec")
    steps.python(here, "training.corpus.fetch")
    steps.python(here, "training.corpus.collect")
    steps.python(here, "training.corpus.tokenizer", "--share", "1")
    steps.python(here, "training.corpus.pack", "--shards", str(_NUM_SHARDS))


def _train(steps: Steps, there: Path, home: Path, minutes: float) -> None:
    """Train in two processes, the second of which goes on where the first one stopped."""
    train = ["nano", "--run", "rehearsal", "--minutes", str(minutes), "--shard-megabytes", "15"]
    options = ["--runs", f"{home}/runs", "--shards", str(home), "--tokenizer", f"{home}/tokenizer"]
    steps.python(there, "training.loop.train", *train, *options, "--pause-after", str(minutes / 2))
    steps.python(there, "training.loop.train", *train, *options)


def _keep_packages(path: Path) -> None:
    head, *tables = path.read_text("utf-8").split(_TABLE)
    kept = [table for table in tables if _name(table) in PACKAGES]
    assert len(kept) == len(PACKAGES), "a package of the rehearsal is not in corpus.toml"
    path.write_text(head + "".join(_TABLE + table for table in kept), "utf-8")


def _name(table: str) -> str:
    return table.split('name = "', maxsplit=1)[1].split('"', maxsplit=1)[0]


def _copy_tree(target: Path) -> None:
    """Copy what git knows, less what is moved out of the way before a session."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    for name in filter(None, listing.stdout.split("\0")):
        if not name.startswith(_STAYS) and (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.loop.rehearse", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--inkling", default="inkling", help="the command")
    options = parser.parse_args(arguments)
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True)
    began = time.monotonic()
    steps = rehearse(folder, minutes=options.minutes, inkling=options.inkling)
    for name, seconds in steps.seconds.items():
        print(f"{name:30} {seconds:6.0f} s")
    print(f"{'all of it':30} {time.monotonic() - began:6.0f} s")


if __name__ == "__main__":
    tell(main)
