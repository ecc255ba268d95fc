"""Packed checkpoints: the integers and scales of a run that ended quantization-aware.

    python -m training.model.packed training/checkpoints/base build/base      (makes a standard one)

A matrix `NAME` is kept as `NAME.blocks`, unsigned integers [rows, columns * bits / 8] as
export/quantization/blockwise.py packs them, and `NAME.scales`, float32 [rows, columns /
BLOCK_SIZE]; what is not rounded is kept in float32 under its own name. Nothing is lost: what
`unpack` writes are the very numbers that the last steps were trained at, in an eighth of their
room. Needs no torch.
"""

import argparse
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from export.quantization.blockwise import Quantized, dequantize
from training.errors import TrainingError, tell

BLOCK_SIZE: Final = 128

_BLOCKS: Final = ".blocks"
_SCALES: Final = ".scales"
_FILES: Final = "packed-*.safetensors"
_OTHER_FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)

Array = npt.NDArray[Any]


def packed_names(name: str) -> tuple[str, str]:
    """Return under which names the integers and the scales of a matrix are kept."""
    return name + _BLOCKS, name + _SCALES


def packed_file(number: int, count: int) -> str:
    return f"packed-{number:05d}-of-{count:05d}.safetensors"


def is_packed(folder: Path) -> bool:
    return any(folder.glob(_FILES))


def unpacked(folder: Path) -> Iterator[tuple[str, Array]]:
    """Yield each tensor of a packed checkpoint in float32, under its standard name.

    Raises TrainingError where there is none, or a matrix came without its scales.
    """
    paths = sorted(folder.glob(_FILES))
    if not paths:
        raise TrainingError(f"no {_FILES} in {folder}; name the folder of a packed checkpoint")
    kept = {name: array for path in paths for name, array in load_file(path).items()}
    for name, array in kept.items():
        if name.endswith(_BLOCKS):
            matrix = name.removesuffix(_BLOCKS)
            yield matrix, _values(matrix, array, kept)
        elif not name.endswith(_SCALES):
            yield name, array


def _values(name: str, data: Array, kept: Mapping[str, Array]) -> Array:
    scales = kept.get(name + _SCALES)
    if scales is None:
        raise TrainingError(f"{name} has no scales; a file of the packed checkpoint is missing")
    bits = 8 * data.nbytes // (scales.size * BLOCK_SIZE)
    return dequantize(Quantized(bits=bits, block_size=BLOCK_SIZE, data=data, scales=scales))


def unpack(folder: Path, output: Path) -> None:
    """Write the checkpoint as everyone reads it, in float32."""
    tensors: dict[str, npt.NDArray[np.generic]] = dict(unpacked(folder))
    output.mkdir(parents=True, exist_ok=True)
    save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})
    for name in _OTHER_FILES:
        if (folder / name).exists():
            shutil.copy(folder / name, output)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.model.packed", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args(arguments)
    unpack(options.folder, options.output)


if __name__ == "__main__":
    tell(main)
