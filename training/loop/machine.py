"""Move a run to a machine that nothing reaches, and back, a parcel at a time.

    python -m training.loop.machine parcel 0                    here: data/parcel-0, with shard 0
    python -m training.loop.machine receive PARCEL HOME         there: add a parcel to HOME
    python -m training.loop.machine take FOLDER RUN             here: a run from what came back

Such a machine takes one parcel a call and gives back a few files of limited size; what gives them
is `train --give`. The small files of a run travel in one archive.
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

WHEELS_FOLDER: Final = DATA_FOLDER / "wheels"
MAX_PARCEL_BYTES: Final = 65_700_000
"""Beside the code, 1.2 MB without runs/, in 64 MiB."""

MAX_FILES: Final = 8
MAX_FILE_BYTES: Final = 16 << 20
MAX_BYTES: Final = 63 << 20

CHECKPOINT: Final = "checkpoint"
COMPACT: Final = "compact"
_WEIGHTS: Final = "*.safetensors"
_SMALL_FILES: Final = "run.tar"


def parcel(number: int) -> int:
    """Make `parcel-NUMBER` of a shard and all that training needs beside it. Return its bytes.

    Each can be the only one: between two calls the machine may be lost. Raises TrainingError where
    it is too large to be carried.
    """
    folder = DATA_FOLDER / f"parcel-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    packed = sorted((SHARDS_FOLDER / "train").glob("*.xz"))
    if number >= len(packed):
        raise TrainingError(
            f"there is no shard {number}; python -m training.corpus.pack made {len(packed)}"
        )
    (folder / "train").mkdir(parents=True)
    shutil.copy(packed[number], folder / "train")
    shutil.copytree(TOKENIZER_FOLDER, folder / "tokenizer")
    shutil.copytree(WHEELS_FOLDER, folder / "wheels")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_PARCEL_BYTES:
        raise TrainingError(
            f"the parcel has {size} bytes, over {MAX_PARCEL_BYTES}; pack more shards"
        )
    return size


def receive(folder: Path, home: Path) -> None:
    """Add a parcel to what is in `home`: train/, tokenizer/ and wheels/."""
    shutil.copytree(folder, home, dirs_exist_ok=True)


def give(run: Path, output: Path) -> Sequence[Path]:
    """Put what there is of a run where it leaves the machine, in place of what lies there.

    That is its checkpoint or, as long as there is none, the compact weights to go on from; what is
    small is in one archive. Returns the files. Raises TrainingError where they are too many or too
    large.
    """
    weights = [*(run / CHECKPOINT).glob(_WEIGHTS)] or [*(run / COMPACT).glob(_WEIGHTS)]
    files = [_archive(run), *sorted(weights)]
    sizes = [path.stat().st_size for path in files]
    if len(files) > MAX_FILES or max(sizes) > MAX_FILE_BYTES or sum(sizes) > MAX_BYTES:
        raise TrainingError(
            f"{len(files)} files of {sum(sizes)} bytes, the largest of {max(sizes)}, cannot leave: "
            f"{MAX_FILES} of {MAX_BYTES} may, none over {MAX_FILE_BYTES}; train a smaller shape"
        )
    output.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in files}
    for path in output.glob(_WEIGHTS):
        if path.name not in names:
            path.unlink()
    for path in files:
        unfinished = output / f"{path.name}.unfinished"
        shutil.copy(path, unfinished)
        unfinished.replace(output / path.name)
    return files


def take(folder: Path, run: Path) -> None:
    """Put what was given where it was in the run's folder. Raises TrainingError for no run."""
    archive = folder / _SMALL_FILES
    if not archive.exists():
        raise TrainingError(f"there is no {_SMALL_FILES} in {folder}; name the folder of a run")
    with tarfile.open(archive) as file:
        file.extractall(run, filter="data")
    for path in folder.glob(_WEIGHTS):
        place = run / (CHECKPOINT if path.name.startswith("packed") else COMPACT)
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


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
            print(f"{parcel(options.number) / 1e6:.1f} MB in parcel-{options.number}/")
        case "receive":
            receive(options.parcel, options.home)
        case _:
            take(options.folder, options.run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="training.loop.machine", description=__doc__)
    verbs = parser.add_subparsers(required=True, dest="verb")
    verbs.add_parser("parcel").add_argument("number", type=int)
    verb = verbs.add_parser("receive")
    verb.add_argument("parcel", type=Path)
    verb.add_argument("home", type=Path)
    verb = verbs.add_parser("take")
    verb.add_argument("folder", type=Path)
    verb.add_argument("run", type=Path)
    return parser


if __name__ == "__main__":
    tell(main)
