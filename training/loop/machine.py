"""Move a run to a machine that nothing reaches, and back, a parcel at a time.

    python -m training.loop.machine parcel 0                    here: data/parcel, with shard 0
    python -m training.loop.machine receive PARCEL HOME         there: add a parcel to HOME
    python -m training.loop.machine give RUN OUT --part 1       there: copy a part of a run's result
    python -m training.loop.machine take PART RUN               here: add that part to the run's

Such a machine takes one parcel a call and gives back a few files of limited size. A part holds at
most MAX_FILES files and MAX_PART_BYTES; the small files of a run travel in one archive.
"""

import argparse
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from training.corpus.pack import SHARDS_FOLDER
from training.corpus.sources import DATA_FOLDER
from training.corpus.tokenizer import TOKENIZER_FOLDER
from training.errors import TrainingError, tell

PARCEL_FOLDER: Final = DATA_FOLDER / "parcel"
WHEELS_FOLDER: Final = DATA_FOLDER / "wheels"
MAX_PARCEL_BYTES: Final = 60_000_000
MAX_FILES: Final = 8
MAX_FILE_BYTES: Final = 16 << 20
MAX_PART_BYTES: Final = 63 << 20
_SMALL_FILES: Final = "run.tar"


def parcel(number: int, folder: Path = PARCEL_FOLDER, *, shards: Path = SHARDS_FOLDER) -> int:
    """Make the parcel of a shard; the first one brings everything else. Return its bytes.

    Raises TrainingError where it is too large to be carried.
    """
    shutil.rmtree(folder, ignore_errors=True)
    packed = sorted((shards / "train").glob("*.xz"))
    if number >= len(packed):
        raise TrainingError(
            f"there is no shard {number}; python -m training.corpus.pack made {len(packed)}"
        )
    (folder / "train").mkdir(parents=True)
    shutil.copy(packed[number], folder / "train")
    if number == 0:
        shutil.copytree(shards / "validation", folder / "validation")
        shutil.copytree(TOKENIZER_FOLDER, folder / "tokenizer")
        shutil.copytree(WHEELS_FOLDER, folder / "wheels")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_PARCEL_BYTES:
        raise TrainingError(
            f"the parcel has {size} bytes, over {MAX_PARCEL_BYTES}; pack more shards"
        )
    return size


def receive(folder: Path, home: Path) -> None:
    """Add a parcel to what is in `home`: train/, validation/, tokenizer/ and wheels/."""
    shutil.copytree(folder, home, dirs_exist_ok=True)


def parts(run: Path) -> list[list[Path]]:
    """Share out a run's files: the small ones' archive first, then the weights in order."""
    weights = sorted((run / "checkpoint").glob("*.safetensors"))
    shared: list[list[Path]] = [[_archive(run)]]
    room = MAX_PART_BYTES - shared[0][0].stat().st_size
    for path in weights:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise TrainingError(f"{path.name} has {size} bytes; train with --shard-megabytes 15")
        if size > room or len(shared[-1]) == MAX_FILES:
            shared.append([])
            room = MAX_PART_BYTES
        shared[-1].append(path)
        room -= size
    return shared


def give(run: Path, output: Path, part: int) -> Sequence[str]:
    """Copy a part, counted from 1, of a finished run; return the files' names."""
    shared = parts(run)
    if not 1 <= part <= len(shared):
        raise TrainingError(f"the run has {len(shared)} parts; there is no part {part}")
    for path in shared[part - 1]:
        shutil.copy(path, output)
    return [path.name for path in shared[part - 1]]


def take(folder: Path, run: Path) -> None:
    """Put a part's files where they were in the run's folder."""
    (run / "checkpoint").mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.safetensors"):
        shutil.copy(path, run / "checkpoint")
    if (folder / _SMALL_FILES).exists():
        with tarfile.open(folder / _SMALL_FILES) as file:
            file.extractall(run, filter="data")


def _archive(run: Path) -> Path:
    """Write what a run says of itself, and the checkpoint's small files, into one archive."""
    path = run / _SMALL_FILES
    with tarfile.open(path, "w") as file:
        for member in sorted(run.rglob("*")):
            is_small = member.is_file() and member.suffix not in {".safetensors", ".tar"}
            if is_small and member.name != "state.unfinished":
                file.add(member, member.relative_to(run).as_posix())
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    match options.verb:
        case "parcel":
            print(f"{parcel(options.number) / 1e6:.1f} MB in {PARCEL_FOLDER.name}/")
        case "receive":
            receive(options.parcel, options.home)
        case "give":
            print(*give(options.run, options.output, options.part))
        case _:
            take(options.part, options.run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="training.loop.machine", description=__doc__)
    verbs = parser.add_subparsers(required=True, dest="verb")
    verbs.add_parser("parcel").add_argument("number", type=int)
    verb = verbs.add_parser("receive")
    verb.add_argument("parcel", type=Path)
    verb.add_argument("home", type=Path)
    verb = verbs.add_parser("give")
    verb.add_argument("run", type=Path)
    verb.add_argument("output", type=Path)
    verb.add_argument("--part", type=int, required=True)
    verb = verbs.add_parser("take")
    verb.add_argument("part", type=Path)
    verb.add_argument("run", type=Path)
    return parser


if __name__ == "__main__":
    tell(main)
