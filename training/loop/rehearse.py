"""Walk the whole way from corpus.toml to a package, by a machine that nothing reaches.

    python -m training.loop.rehearse FOLDER [--minutes 2] [--there PYTHON] [--inkling inkling]

FOLDER/here is a copy of what git knows, with a corpus of few packages: it fetches, cleans, learns a
vocabulary and packs. FOLDER/there holds only what would travel, one parcel after the other, and
runs both calls of lease.sh with nano and, where one is named, with another interpreter, which has
what the other machine has. What is given comes back and is exported. Prints what each step took.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from training.errors import tell

PACKAGES: Final = frozenset(
    {"click", "flask", "jinja2", "requests", "networkx", "sqlalchemy", "twisted", "express", "zod"}
    | {"starlette", "fastify", "werkzeug"}
)
"""25 MB of archives; the last three are held out."""

ROOT: Final = Path(__file__).parents[2]
TRAVELS: Final = ("training/", "inference/", "export/")
_STAYS: Final = ("training/checkpoints/", "inference/default_model/", "training/runs/")
_NUM_SHARDS: Final = 2
_CALLS: Final = ("begin", "finish")
_TABLE: Final = "[[package]]"


class Steps:
    """Runs commands, each in a copy of the project, and remembers how long they took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def python(self, folder: Path, module: str, *arguments: str) -> None:
        """Run a module; subprocess.CalledProcessError where it fails."""
        self.run(folder, [sys.executable, "-m", module, *arguments], name=module)

    def run(
        self, folder: Path, command: Sequence[str], *, name: str, variables: Mapping[str, str] = {}
    ) -> None:
        began = time.monotonic()
        subprocess.run(command, check=True, cwd=folder, env={**os.environ, **variables})
        self.seconds[name] = self.seconds.get(name, 0) + time.monotonic() - began
        print(f"{name}: {self.seconds[name]:.0f} s", flush=True)


def rehearse(folder: Path, *, minutes: float, there_python: Path, inkling: str) -> Steps:
    """Do every step in order; any that fails raises subprocess.CalledProcessError."""
    here, there, package = (folder / name for name in ("here", "there", "package"))
    steps = Steps()
    _copy_tree(here, lambda _: True)
    _copy_tree(there, lambda name: name.startswith(TRAVELS) and not name.startswith(_STAYS))
    _keep_packages(here / "training" / "corpus.toml")
    _collect(steps, here)
    for number, call in enumerate(_CALLS):
        steps.python(here, "training.loop.machine", "parcel", str(number))
        _call(steps, there, number, call, minutes=minutes, python=there_python)
    run = here / "training" / "runs" / "nano"
    steps.python(here, "training.loop.machine", "take", str(folder / "out-finish"), str(run))
    standard = folder / "checkpoint"
    steps.python(here, "training.model.packed", str(run / "checkpoint"), str(standard))
    # two minutes of training write nothing that could be held to the gate
    options = ["--fim-order", "spm", "--accept-quality"]
    export = [inkling, "export", str(standard), "--output", str(package), *options]
    steps.run(folder, export, name="inkling export")
    return steps


def _call(
    steps: Steps, there: Path, number: int, call: str, *, minutes: float, python: Path
) -> None:
    """Do what one call does on the machine: a parcel comes, the last one's is gone."""
    data, output = Path("training", "data"), there.parent / f"out-{call}"
    shutil.rmtree(there / data, ignore_errors=True)
    parcel = data / f"parcel-{number}"
    shutil.copytree(there.parent / "here" / parcel, there / parcel)
    output.mkdir()
    variables = {
        "OUT": str(output),
        "INKLING_TRAINING_HOME": str(there.parent / "home"),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }
    command = ["bash", "training/lease.sh", call, "nano", str(minutes), str(minutes / 2)]
    steps.run(there, command, name=f"lease.sh {call}", variables=variables)


def _collect(steps: Steps, here: Path) -> None:
    wheels = here / "training" / "data" / "wheels"
    download = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", str(wheels)]
    steps.python(here, "pip", *download, "msgspec", "platformdirs")
    steps.python(here, "training.corpus.fetch")
    steps.python(here, "training.corpus.collect")
    steps.python(here, "training.corpus.tokenizer", "--share", "1")
    steps.python(here, "training.corpus.pack", "--shards", str(_NUM_SHARDS))


def _keep_packages(path: Path) -> None:
    head, *tables = path.read_text("utf-8").split(_TABLE)
    kept = [table for table in tables if _name(table) in PACKAGES]
    assert len(kept) == len(PACKAGES), "a package of the rehearsal is not in corpus.toml"
    path.write_text(head + "".join(_TABLE + table for table in kept), "utf-8")


def _name(table: str) -> str:
    return table.split('name = "', maxsplit=1)[1].split('"', maxsplit=1)[0]


def _copy_tree(target: Path, is_wanted: Callable[[str], bool]) -> None:
    """Copy those of the files that git knows."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    for name in filter(None, listing.stdout.split("\0")):
        if is_wanted(name) and (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.loop.rehearse", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument(
        "--there", type=Path, default=Path(sys.executable), help="the other machine's python3"
    )
    parser.add_argument("--inkling", default="inkling", help="the command")
    options = parser.parse_args(arguments)
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True)
    began = time.monotonic()
    steps = rehearse(
        folder, minutes=options.minutes, there_python=options.there, inkling=options.inkling
    )
    for name, seconds in steps.seconds.items():
        print(f"{name:30} {seconds:6.0f} s")
    print(f"{'all of it':30} {time.monotonic() - began:6.0f} s")


if __name__ == "__main__":
    tell(main)
