"""What a file or folder is that is no checkpoint, in words that say what to do instead.

Names, first bytes and small JSON files tell it; nothing of it is run, and no weight is read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from export.checkpoint.config import read_object
from export.checkpoint.hub import hub_name
from export.errors import CheckpointError, ExportError, UnsupportedError
from inference.package.manifest import MANIFEST_FILE, MODEL_FILE

CONFIG_FILE: Final = "config.json"
ADAPTER_FILE: Final = "adapter_config.json"
GGUF_MAGIC: Final = b"GGUF"
PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")

_OF_FILES: Final = (
    (b"PK\x03\x04", "a pickle in an archive, as torch writes it"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"lmgg", "a GGML file of before GGUF"),
    (b"tjgg", "a GGML file of before GGUF"),
    (b"fmgg", "a GGML file of before GGUF"),
)
_MAX_NAMES: Final = 4
_PICKLED: Final = "can run code when it is read; convert the checkpoint to safetensors first"


def is_gguf(path: Path) -> bool:
    """Say whether a regular file begins as GGUF does, whatever it is called."""
    return path.is_file() and _first_bytes(path) == GGUF_MAGIC


def file_refusal(path: Path) -> ExportError:
    """Return why a file is no checkpoint, and what to give instead."""
    if not path.is_file():
        return CheckpointError(f"{path} is neither a folder nor a regular file")
    beginning = _first_bytes(path)
    found = next((kind for start, kind in _OF_FILES if beginning.startswith(start)), None)
    if found is not None:
        remedy = f", which {_PICKLED}" if "pickle" in found else "; convert it to GGUF again"
        return UnsupportedError(f"{path} is {found}{remedy}")
    match path.suffix.lower():
        case ".safetensors":
            return CheckpointError(
                f"{path} is a file of weights; give the folder that holds it beside {CONFIG_FILE}"
            )
        case ".onnx":
            return UnsupportedError(_onnx(path))
        case _:
            return CheckpointError(
                f"{path} is a file of another kind; give the folder of a checkpoint, or a GGUF file"
            )


def refuse_folder(folder: Path) -> None:
    """Raise an ExportError naming what a folder is, where it holds no checkpoint's config."""
    if (folder / MANIFEST_FILE).is_file() and (folder / MODEL_FILE).is_file():
        raise UnsupportedError(
            f"{folder} is a package of Inkling already; give it to --model, or to --to-checkpoint"
        )
    if (folder / ADAPTER_FILE).is_file() and not _names(folder, "model*.safetensors*"):
        raise UnsupportedError(_adapter(folder))
    if not (folder / CONFIG_FILE).exists():
        raise _without_config(folder)


def weights_refusal(folder: Path, expected: Sequence[str]) -> ExportError:
    """Return what lies in the place of a checkpoint's weights, the last of which is an index."""
    shards = _names(folder, "*-of-*.safetensors")
    if shards:
        return CheckpointError(
            f"{folder} holds {_listed(shards)} without {expected[-1]}, which says what is in "
            "which; download that file too"
        )
    pickled = [name for pattern in PICKLES for name in _names(folder, pattern)]
    if pickled:
        return UnsupportedError(f"{folder / pickled[0]} is a pickle, which {_PICKLED}")
    for pattern, error in (("*.safetensors", _renamed), ("*.gguf", _ggufs), ("*.onnx", _onnx)):
        if _names(folder, pattern):
            return UnsupportedError(error(folder))
    return CheckpointError(f"no {' and no '.join(expected)} in {folder}")


def _without_config(folder: Path) -> ExportError:
    for pattern, error in (
        ("genai_config.json", _onnx),
        ("*.onnx", _onnx),
        ("onnx/*.onnx", _onnx),
        ("*.gguf", _ggufs),
        ("model_index.json", _pictures),
        ("params.json", _publishers_own),
    ):
        if _names(folder, pattern):
            return UnsupportedError(error(folder))
    pickled = [name for pattern in PICKLES for name in _names(folder, pattern)]
    if pickled:
        return UnsupportedError(f"{folder / pickled[0]} is a pickle, which {_PICKLED}")
    repository = hub_name(folder)
    if repository is not None:
        return CheckpointError(
            f"{repository} has no {CONFIG_FILE} on the hub; where it has GGUF files, download one "
            "and give its path"
        )
    return CheckpointError(f"{folder} holds no {CONFIG_FILE}, so it is no checkpoint")


def _adapter(folder: Path) -> str:
    try:
        base = read_object(folder / ADAPTER_FILE).get("base_model_name_or_path")
    except ExportError:
        base = None
    of = f" for {base}" if isinstance(base, str) else ""
    return (
        f"{folder} is an adapter (LoRA){of}, not a model; merge it into its model with peft's "
        "merge_and_unload, and export the result"
    )


def _onnx(path: Path) -> str:
    return (
        f"{path} is an ONNX model of another program, whose weights cannot be taken over; give the "
        "checkpoint that it was made from"
    )


def _ggufs(folder: Path) -> str:
    return (
        f"{folder} is a folder of GGUF files; give one of them: {_listed(_names(folder, '*.gguf'))}"
    )


def _renamed(folder: Path) -> str:
    names = _listed(_names(folder, "*.safetensors"))
    return f"{folder} holds {names}, and weights are read from model.safetensors or its shards"


def _pictures(folder: Path) -> str:
    return f"{folder} is a pipeline of diffusers, which makes pictures and no text"


def _publishers_own(folder: Path) -> str:
    return (
        f"{folder} is in its publisher's own layout (params.json); give the one for transformers, "
        f"which has a {CONFIG_FILE}"
    )


def _names(folder: Path, pattern: str) -> list[str]:
    found = (path for path in folder.glob(pattern) if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES])
    return shown if len(names) <= _MAX_NAMES else f"{shown} and {len(names) - _MAX_NAMES} more"


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
