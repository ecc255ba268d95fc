"""The `quantization_config` of a checkpoint: in which few bits its matrices are stored.

How activations and keys and values were rounded beside them is left out: that is ours to say.
"""

from typing import Final

from export.checkpoint.block_scaled import FP8_BLOCK
from export.checkpoint.compressed_tensors import METHOD as COMPRESSED
from export.checkpoint.compressed_tensors import read_compressed
from export.checkpoint.config import Config
from export.checkpoint.gptq_awq import Grouping, read_grouping
from export.errors import UnsupportedError

METHODS: Final = ("mxfp4", "fp8", "gptq", "awq", "modelopt", COMPRESSED)


def read_storage(config: Config) -> Grouping | None:
    """Return how integers of groups are stored; None where the tensors themselves tell it.

    Raises UnsupportedError for weights that are stored in few bits in a way that is not read.
    """
    if config.has("quantization"):
        raise UnsupportedError(
            f"{config.name} says quantization, as MLX stores matrices in few bits, which is not "
            "read; give the checkpoint that it was made from"
        )
    stored = config.section("quantization_config")
    if not config.has("quantization_config"):
        return None
    # ModelOpt's older versions do not name themselves.
    method = stored.text(
        "quant_method", default="modelopt" if stored.has("quant_algo") else "mxfp4"
    )
    if method not in METHODS:
        raise UnsupportedError(
            f"{stored.name} says quant_method = {method!r}; only what {', '.join(METHODS)} store "
            "is read, so give the checkpoint that it was made from"
        )
    match method:
        case "gptq" | "awq":
            return read_grouping(stored)
        case "compressed-tensors":
            return read_compressed(stored)
        case "modelopt":
            _check_modelopt(stored)
        case _:
            stored.require("fmt", "e4m3", "float8_e4m3fn")
            # Without blocks a matrix has one scale.
            stored.require("weight_block_size", [FP8_BLOCK, FP8_BLOCK])
            stored.require("weight_per_tensor", False)
            # What was left as it was shows in the tensors.
            stored.refuse_unread(
                {
                    *("modules_to_not_convert", "activation_scheme", "act_per_tensor"),
                    *("dequantize", "scale_fmt"),
                }
            )
    return None


def _check_modelopt(stored: Config) -> None:
    """Refuse all but float8 with one scale for each matrix, which was known beforehand."""
    stored.require("quant_algo", "FP8")
    groups = stored.section("config_groups")
    for name in groups.names():
        group = groups.section(name)
        weights = group.section("weights")
        weights.require("num_bits", 8)
        weights.require("type", "float")
        weights.require("dynamic", False)
        weights.refuse_unread()
        group.refuse_unread({"input_activations", "targets"})
    stored.refuse_unread({"ignore", "kv_cache_scheme", "producer"})
