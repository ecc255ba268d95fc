"""The `quantization_config` of llm-compressor's checkpoints: one way for all matrices.

The format is that of https://github.com/vllm-project/compressed-tensors, `compressors`:

    pack-quantized    integers of 4 or 8 bits in words, groups along a row or one a row
    float-quantized   FP8 with one scale for a matrix, a row, or a block of 128 by 128
    int-quantized     8 bits with one scale for a matrix or a row

How activations, keys and values were rounded beside them is left out, as everywhere. A rotation
that was multiplied into the weights is in them; one that a running model applies is not read.
"""

from typing import Any, Final

import msgspec

from export.checkpoint.block_scaled import FP8_BLOCK
from export.checkpoint.config import Config
from export.checkpoint.gptq_awq import WHOLE_ROW, Grouping
from export.errors import UnsupportedError

METHOD: Final = "compressed-tensors"
FORMATS: Final = ("pack-quantized", "float-quantized", "int-quantized", "naive-quantized")

_OF_MAKING: Final = frozenset(
    {
        *("global_compression_ratio", "ignore", "kv_cache_scheme", "quant_method"),
        "version",
    }
)
_OF_ROUNDING: Final = frozenset({"observer", "observer_kwargs", "scale_dtype", "zp_dtype"})
_OF_A_GROUP: Final = frozenset({"input_activations", "output_activations", "targets"})
_INTO_WEIGHTS: Final = frozenset({"weight_input", "weight_output"})


def read_compressed(stored: Config) -> Grouping | None:
    """Return how matrices lie in words of 32 bits, None where each shows by itself how it is read.

    Raises UnsupportedError naming the first key and value that is not implemented.
    """
    stored.require("format", *FORMATS)
    form = stored.text("format")
    stored.require("quantization_status", "compressed", "frozen")
    stored.section("sparsity_config").require("format", "dense")
    _check_rotations(stored.section("transform_config").section("config_groups"))
    groups = stored.section("config_groups")
    found = [_read_group(groups.section(name), form) for name in groups.names()]
    if not found or any(grouping != found[0] for grouping in found):
        raise UnsupportedError(
            f"{stored.name} says config_groups of {len(found)} kinds, and matrices are read that "
            "are all stored in one way"
        )
    stored.refuse_unread(_OF_MAKING)
    return found[0]


def _read_group(group: Config, form: str) -> Grouping | None:
    group.require("format", form)
    weights = group.section("weights")
    weights.require("dynamic", False)
    is_packed = form == "pack-quantized"
    weights.require("num_bits", *((4, 8) if is_packed else (8,)))
    if is_packed:
        weights.require("type", "int")
    else:
        weights.require("type", *(("float",) if form == "float-quantized" else ("int", "float")))
        weights.require("symmetric", True)
    weights.require("strategy", *(("group", "channel") if is_packed else _STRATEGIES))
    weights.require("block_structure", [FP8_BLOCK, FP8_BLOCK])
    weights.require("actorder", *_ORDERS)
    grouping = _grouping(weights) if is_packed else None
    weights.refuse_unread(_OF_ROUNDING | {"group_size", "symmetric"})
    group.refuse_unread(_OF_A_GROUP)
    return grouping


_STRATEGIES: Final = ("tensor", "channel", "block")
_ORDERS: Final[tuple[Any, ...]] = ("static", "weight", "dynamic", "group", True, False)


def _grouping(weights: Config) -> Grouping:
    is_whole = weights.text("strategy", default="group") == "channel"
    return Grouping(
        layout="pack-quantized",
        bits=weights.integer("num_bits", default=4),
        group_size=WHOLE_ROW if is_whole else weights.integer("group_size"),
        is_reordered=weights.as_object().get("actorder") in {"group", "dynamic", True},
    )


class _Step(msgspec.Struct):
    location: str


class _Rotation(msgspec.Struct):
    apply: list[_Step] = []


def _check_rotations(rotations: Config) -> None:
    for name in rotations.names():
        try:
            rotation = msgspec.convert(rotations.section(name).as_object(), _Rotation)
        except msgspec.ValidationError as error:
            raise UnsupportedError(f"{rotations.name} says {name}, of which {error}") from error
        for step in rotation.apply:
            if step.location not in _INTO_WEIGHTS:
                raise UnsupportedError(
                    f"{rotations.name} says {name} with location = {step.location!r}: a rotation "
                    "of activations as the model runs, which is not implemented"
                )
