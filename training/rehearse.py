"""Walk the whole way to a lent machine and back, on this one, with few packages and little time.

    python -m training.rehearse FOLDER [--minutes 2] [--inkling inkling]

FOLDER/there holds only what would travel: the files that git knows, less the checkpoints, and one
parcel after the other. A run is trained there in two processes, its parts are carried to
FOLDER/back, and its checkpoint is exported. Needs `collect` and `tokenizer` to be done.
"""

import argparse
import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from training import machine, pack
from training.documents import DOCUMENTS_FOLDER, Document, read_documents, write_documents
from training.errors import tell

PACKAGES: Final = frozenset(
    {"flask", "click", "requests", "jinja2", "zod", "pygls", "onnx-ir", "rich"}
)
ROOT: Final = Path(__file__).parent.parent
_STAYS: Final = ("training/checkpoints/", "inference/default_model/", "training/runs/")


def rehearse(folder: Path, *, minutes: float, inkling: str) -> None:
    """Do every step in order; any that fails raises subprocess.CalledProcessError."""
    there, home, back = folder / "there", folder / "home", folder / "back"
    shards = _shards(folder)
    _copy_tree(there)
    for number in range(2):
        parcel = folder / "parcel"
        size = machine.parcel(number, parcel, shards=shards)
        print(f"parcel {number}: {size / 1e6:.1f} MB")
        _run(there, "training.machine", "receive", str(parcel), str(home))
    options = ["--runs", f"{home}/runs", "--shards", str(home), "--tokenizer", f"{home}/tokenizer"]
    train = ["nano", "--run", "rehearsal", "--minutes", str(minutes), "--shard-megabytes", "15"]
    _run(there, "training.train", *train, *options, "--pause-after", str(minutes / 2))
    _run(there, "training.train", *train, *options)
    for part, _ in enumerate(machine.parts(home / "runs" / "rehearsal"), start=1):
        given = folder / f"given-{part}"
        given.mkdir()
        run = str(home / "runs" / "rehearsal")
        _run(there, "training.machine", "give", run, str(given), "--part", str(part))
        machine.take(given, back)
    command = [inkling, "export", str(back / "checkpoint"), "--output", str(folder / "package")]
    subprocess.run([*command, "--fim-order", "spm"], check=True)


def _shards(folder: Path) -> Path:
    """Pack a few packages into two shards."""
    documents = folder / "documents"
    chosen = (d for d in read_documents(DOCUMENTS_FOLDER / "train.jsonl") if d.package in PACKAGES)
    write_documents(documents / "train.jsonl", chosen)
    held_out: Iterator[Document] = read_documents(DOCUMENTS_FOLDER / "validation.jsonl")
    write_documents(documents / "validation.jsonl", itertools.islice(held_out, 300))
    shards = folder / "shards"
    pack.main(["--documents", str(documents), "--output", str(shards), "--shards", "2"])
    return shards


def _copy_tree(there: Path) -> None:
    """Copy what git knows, less what is moved out of the way before a session."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    for name in filter(None, listing.stdout.split("\0")):
        if not name.startswith(_STAYS) and (ROOT / name).exists():
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, there / name)


def _run(there: Path, module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, cwd=there)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.rehearse", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--inkling", default="inkling", help="the command")
    options = parser.parse_args(arguments)
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True)
    rehearse(folder, minutes=options.minutes, inkling=options.inkling)


if __name__ == "__main__":
    tell(main)
