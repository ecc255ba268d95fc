"""Checkpoints: Hugging Face safetensors for everyone else, exact state for going on.

A checkpoint that leaves is a standard Qwen3MoeForCausalLM in bf16, in files of a chosen size. The
state that stays has everything in float32 with the optimizer, the position in the corpus and the
progress; a run that loads it goes on as if it had never stopped. What ended quantization-aware is
kept packed (packed.py), exact in an eighth of the room.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.corpus.batches import Position
from training.errors import TrainingError
from training.model.configuration import from_config_json, to_config_json
from training.model.decoder import Decoder
from training.model.packed import is_packed, packed_file, packed_names, unpacked
from training.model.quantization import bits_of, packed

LEAVING_FILE_BYTES: Final = 16_000_000
"""A file that leaves a machine which gives little back may have 16 MiB."""

_EXPERTS: Final = ("gate_proj", "up_proj", "down_proj")
_ATTENTION: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands. `seconds` of training are over, not counting start-up or compilation."""

    step: int = 0
    num_tokens: int = 0
    seconds: float = 0.0
    position: Position = Position()
    is_long: bool = False


def save_checkpoint(decoder: Decoder, folder: Path, *, shard_bytes: int = 50_000_000) -> None:
    """Write config.json and the weights in bf16, in files of at most `shard_bytes`."""
    _write_config(decoder, folder)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in named_tensors(decoder)}
    write_shards(tensors, folder, shard_bytes)


def save_packed(decoder: Decoder, folder: Path) -> None:
    """Write config.json and, packed, what the exporter's int4 scheme makes of the weights."""
    _write_config(decoder, folder)
    tensors: dict[str, Tensor] = {}
    for name, tensor in named_tensors(decoder):
        if bits := bits_of(name.removesuffix(".weight")):
            tensors.update(zip(packed_names(name), packed(tensor, bits), strict=True))
        else:
            tensors[name] = tensor.float()
    shards = split(tensors, LEAVING_FILE_BYTES)
    for number, shard in enumerate(shards, start=1):
        _write(folder / packed_file(number, len(shards)), shard)


def _write_config(decoder: Decoder, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(to_config_json(decoder.shape), indent=1)
    (folder / "config.json").write_text(config + "\n", "utf-8")
    generation = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 4}
    (folder / "generation_config.json").write_text(json.dumps(generation) + "\n", "utf-8")


def load_checkpoint(folder: Path, dtype: torch.dtype = torch.float32) -> Decoder:
    """Read a checkpoint, packed or not. Raises TrainingError for the tensors of another model."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    decoder = Decoder(from_config_json(config), dtype)
    if is_packed(folder):
        tensors = {name: torch.from_numpy(array) for name, array in unpacked(folder)}
    else:
        tensors = read_shards(folder)
    expected = dict(named_tensors(decoder))
    if different := sorted(expected.keys() ^ tensors.keys()):
        raise TrainingError(f"{folder} lacks or adds {len(different)} tensors: {different[0]}")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(tensors[name])
    return decoder


def named_tensors(decoder: Decoder) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor of the checkpoint under its standard name, in the model's own memory."""
    yield "model.embed_tokens.weight", decoder.embed_tokens.data
    yield "model.norm.weight", decoder.norm.data
    for index, layer in enumerate(decoder.layers):
        prefix = f"model.layers.{index}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{prefix}.{name}.weight", layer.get_parameter(name).data
        for name in _ATTENTION:
            yield f"{prefix}.self_attn.{name}.weight", layer.get_parameter(name).data
        yield f"{prefix}.mlp.gate.weight", layer.get_parameter("gate").data
        for name in _EXPERTS:
            for expert, matrix in enumerate(layer.get_parameter(name).data):
                yield f"{prefix}.mlp.experts.{expert}.{name}.weight", matrix


def write_shards(tensors: Mapping[str, Tensor], folder: Path, shard_bytes: int) -> Sequence[Path]:
    """Write safetensors files, with an index where there is more than one."""
    shards = split(tensors, shard_bytes)
    names = [
        "model.safetensors"
        if len(shards) == 1
        else f"model-{index + 1:05d}-of-{len(shards):05d}.safetensors"
        for index in range(len(shards))
    ]
    for name, shard in zip(names, shards, strict=True):
        _write(folder / name, shard, {"format": "pt"})
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in tensors.values())
        places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index) + "\n", "utf-8")
    return [folder / name for name in names]


def _write(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, path, metadata)


def read_shards(folder: Path) -> dict[str, Tensor]:
    """Read every tensor of the safetensors files in a folder."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise TrainingError(f"no safetensors in {folder}; name a checkpoint's folder")
    return {name: tensor for path in paths for name, tensor in load_file(path).items()}


def split(tensors: Mapping[str, Tensor], shard_bytes: int) -> list[dict[str, Tensor]]:
    """Fill one shard after the other, in order. Raises TrainingError for a tensor too large."""
    shards: list[dict[str, Tensor]] = [{}]
    room = shard_bytes - _HEADER_BYTES
    for name, tensor in tensors.items():
        if tensor.nbytes > shard_bytes - _HEADER_BYTES:
            raise TrainingError(f"{name} has {tensor.nbytes} bytes; a file may have {shard_bytes}")
        if tensor.nbytes > room:
            shards.append({})
            room = shard_bytes - _HEADER_BYTES
        shards[-1][name] = tensor
        room -= tensor.nbytes
    return shards


_HEADER_BYTES: Final = 200_000
"""A safetensors header takes about 120 bytes a tensor; the largest configuration has 600."""


def save_state(
    path: Path, decoder: Decoder, held: Mapping[str, Tensor], progress: Progress
) -> None:
    """Write all that `load_state` needs. The file appears whole or not at all."""
    weights = {f"weight.{name}": p.detach() for name, p in decoder.named_parameters()}
    tensors = {**weights, **held}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    metadata = {"progress": msgspec.json.encode(progress).decode()}
    _write(unfinished, tensors, metadata)
    unfinished.replace(path)


def load_state(path: Path, decoder: Decoder) -> tuple[dict[str, Tensor], Progress]:
    """Fill the model; return what else was held, and the progress.

    Raises TrainingError for the state of another shape.
    """
    with safe_open(path, "pt") as file:
        metadata: dict[str, Any] = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            weight = tensors.pop(f"weight.{name}", None)
            if weight is None or weight.shape != parameter.shape:
                raise TrainingError(f"{path.name} is of another shape: {name} does not fit")
            parameter.copy_(weight)
    return tensors, msgspec.json.decode(metadata["progress"].encode(), type=Progress)


def save_compact(decoder: Decoder, folder: Path, progress: Progress) -> None:
    """Write the weights in 8 bits, in files that may leave a machine that gives little back.

    Half of bf16, and close enough to go on training from; the optimizer starts afresh.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, parameter in decoder.named_parameters():
        values = parameter.detach().float()
        if bits_of(name):
            scale = values.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 127
            tensors[f"{name}.scale"] = scale
            tensors[name] = (values / scale).round().to(torch.int8)
        else:
            tensors[name] = values
    write_shards(tensors, folder, LEAVING_FILE_BYTES)
    (folder / "progress.json").write_bytes(msgspec.json.encode(progress))


def load_compact(folder: Path, decoder: Decoder) -> Progress:
    """Fill the model from `save_compact`'s files; return where that run stood."""
    tensors = read_shards(folder)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            parameter.copy_(tensors[name].float() * tensors.get(f"{name}.scale", torch.ones(1)))
    return msgspec.json.decode((folder / "progress.json").read_bytes(), type=Progress)
