"""The way back: write a package's weights as a Hugging Face checkpoint, widened.

So the very weights that we serve can be loaded by other programs and compared. The config is the
one that the package kept of its source; names come from the family's rules, read backwards.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final, Literal

import ml_dtypes
import msgspec
import numpy as np

from export.architectures import read_architecture
from export.architectures.common.family import Family
from export.architectures.common.wrapper import language_config
from export.checkpoint.config import Config, read_config
from export.checkpoint.headers import SINGLE_FILE
from export.checkpoint.plan import Origin, given_back, origins, stored_shape
from export.checkpoint.stored import Float32
from export.checkpoint.tokens import CHAT_TEMPLATE_FILE, GENERATION_FILE, TOKENIZER_CONFIG_FILE
from export.errors import PackageError
from export.graph.weights_back import package_values
from export.package.manifest import ignored_config
from export.package.placing import replacing
from export.quantization.scheme import scheme_of
from export.spec.decoder import Slot, slots
from inference.package.manifest import TOKENIZER_FILE, ModelManifest, read_manifest, verify_files

StoredType = Literal["f32", "bf16"]

CONFIG_FILE: Final = "config.json"
_OF_STORAGE: Final = frozenset({"dtype", "quantization_config", "torch_dtype"})
_DTYPES: Final[Mapping[StoredType, tuple[str, str, np.dtype[Any]]]] = {
    "f32": ("F32", "float32", np.dtype("<f4")),
    "bf16": ("BF16", "bfloat16", np.dtype(ml_dtypes.bfloat16)),
}


def write_checkpoint(
    package: Path,
    folder: Path,
    *,
    dtype: StoredType = "f32",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write config, tokenizer and weights to a new folder; return the number of tensors.

    Raises an InklingError where the package is damaged or has no way back, PackageError where the
    folder is there already or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PackageError(f"{folder} is there already; choose another folder")
    manifest = read_manifest(package)
    verify_files(manifest, package)
    if CONFIG_FILE not in manifest.files:
        raise PackageError(f"{package} does not hold its checkpoint's {CONFIG_FILE}; export again")
    config = read_config(package / CONFIG_FILE, ignored=ignored_config(manifest))
    architecture = read_architecture(config)
    values = package_values(package, architecture.spec, scheme_of(manifest))
    needed = slots(architecture.spec)
    tensors = origins(architecture.rules, needed)
    with replacing(folder) as partial:
        _write_config(partial, config, architecture.family, dtype)
        _write_documents(package, partial, manifest)
        writer = _Writer(needed, values, dtype, progress)
        writer.write(partial / SINGLE_FILE, tensors)
    return len(tensors)


def _write_config(folder: Path, config: Config, family: Family, dtype: StoredType) -> None:
    """Write what the source said; of a model that also sees or hears the language model's part."""
    language = language_config(config)
    if language is not config:
        language.assume(family.text_defaults)
    stored = {key: value for key, value in language.as_object().items() if key not in _OF_STORAGE}
    if language is not config or language.text("model_type") != family.model_type:
        stored |= {"architectures": [family.class_names[0]], "model_type": family.model_type}
    stored |= {key: value for key, value in family.written_back.items() if key in stored}
    _write_json(folder / CONFIG_FILE, stored | {"torch_dtype": _DTYPES[dtype][1]})


def _write_documents(package: Path, folder: Path, manifest: ModelManifest) -> None:
    _write_json(folder / GENERATION_FILE, {"eos_token_id": list(manifest.eos_token_ids)})
    _write_json(folder / TOKENIZER_CONFIG_FILE, {"tokenizer_class": "PreTrainedTokenizerFast"})
    for name in (TOKENIZER_FILE, CHAT_TEMPLATE_FILE):
        if name in manifest.files:
            (folder / name).write_bytes((package / name).read_bytes())


class _Writer:
    """Writes a safetensors file, one tensor at a time; the header comes first in it."""

    def __init__(
        self,
        needed: Mapping[str, Slot],
        values: Mapping[str, Float32],
        dtype: StoredType,
        progress: Callable[[int, int], None],
    ) -> None:
        self._needed = needed
        self._values = values
        self._tag, _, self._dtype = _DTYPES[dtype]
        self._progress = progress
        self._kept: tuple[str, Float32] | None = None

    def write(self, path: Path, tensors: Mapping[str, Sequence[Origin]]) -> None:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, parts in tensors.items():
            shape = self._shape(parts[0])
            begin, end = end, end + prod(shape) * self._dtype.itemsize
            header[name] = {"dtype": self._tag, "shape": shape, "data_offsets": [begin, end]}
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(encoded)) + encoded)
            for index, parts in enumerate(tensors.values()):
                self._progress(index, len(tensors))
                found = [(part.rule, self._part(part)) for part in parts]
                tensor = given_back(parts[0].rule, found)
                file.write(np.ascontiguousarray(tensor, self._dtype).tobytes())

    def _shape(self, part: Origin) -> tuple[int, ...]:
        shape = self._needed[part.slot].shape
        return stored_shape(part.rule, shape if part.index is None else shape[1:])

    def _part(self, part: Origin) -> Float32:
        # The tensors of one stack follow each other, so that it is read once.
        if self._kept is None or self._kept[0] != part.slot:
            self._kept = part.slot, self._values[part.slot]
        values = self._kept[1]
        return values if part.index is None else values[part.index]


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n")
