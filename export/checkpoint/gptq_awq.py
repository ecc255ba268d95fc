"""Matrices of integers in groups along a row, with a zero and a scale each: GPTQ, AWQ and others.

    value = (integer - zero) * scale

A matrix X [out, in] is stored as `X.qweight` and `X.qzeros`, words of 32 bits with the first
integer in the lowest ones, and `X.scales` [num_groups, out]; the zeros are packed along `out`.

    gptq      qweight [in * bits / 32, out], packed along `in`; 1 was subtracted from the words of
              the zeros, in each integer's place (AutoGPTQ, auto_gptq/nn_modules/qlinear; GPTQModel,
              gptqmodel/utils/model.py, `convert_gptq_v1_to_v2_format_module`)
    gptq_v2   the same without the subtraction
    awq       qweight [in, out * bits / 32]; the eight columns of a word, and its zeros, lie in the
              order 0 2 4 6 1 3 5 7 (AutoAWQ, awq/utils/packing_utils.py; its "gemm" version)
    pack-quantized
              `X.weight_packed` [out, in * bits / 32], packed along `in`; `X.weight_zero_point`
              packed along its first axis, or none for the middle; `X.weight_scale` [out,
              num_groups] (llm-compressor's compressed-tensors, compressors/pack_quantized)

GPTQ's `X.g_idx` [in] says which group an input is of, where they were not rounded in order.
This module knows no file and no model.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from export.checkpoint.config import Config
from export.checkpoint.stored import Integers
from export.errors import CheckpointError, UnsupportedError

Float32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]
Shape = tuple[int, ...]

Layout = Literal["gptq", "gptq_v2", "awq", "pack-quantized"]

_PARTS: Final = {part: part for part in ("qweight", "qzeros", "scales", "g_idx")}
_PACKED_PARTS: Final = {
    "qweight": "weight_packed",
    "qzeros": "weight_zero_point",
    "scales": "weight_scale",
    "g_idx": "weight_g_idx",
}
NEEDLESS_PARTS: Final = ("weight_shape",)
"""What the other parts tell."""

PART_DTYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "qweight": ("I32",),
    "qzeros": ("I32",),
    "scales": ("F16", "BF16", "F32"),
    "g_idx": ("I32",),
}
WORD_BITS: Final = 32
WHOLE_ROW: Final = -1
"""The group size that says: one group a row."""

_PLACES_IN_AWQ: Final = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where the integers 0 to 7 of a word lie in it."""

_OF_MAKING: Final = frozenset(
    {
        *("damp_percent", "damp_auto_increment", "true_sequential", "static_groups", "sym"),
        *("model_name_or_path", "model_file_base_name", "meta", "dataset", "tokenizer", "v2"),
        *("batch_size", "cache_block_outputs", "model_seqlen", "pad_token_id", "v2_alpha"),
        *("block_name_to_quantize", "module_name_preceding_first_block", "act_group_aware"),
        *("modules_in_block_to_quantize", "modules_to_not_convert", "lm_head", "zero_point"),
        *("mse", "hyb_act"),
    }
)
_OF_RUNNING: Final = frozenset(
    {
        *("exllama_config", "use_cuda_fp16", "use_exllama", "disable_exllama", "backend"),
        *("max_input_length", "do_fuse", "fuse_max_seq_len", "modules_to_fuse"),
    }
)


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """What config.json says of the rounded matrices; `is_reordered`: groups may be in any order."""

    layout: Layout
    bits: int
    group_size: int
    is_reordered: bool

    @property
    def method(self) -> str:
        return self.layout.partition("_")[0]

    def num_groups(self, num_inputs: int) -> int:
        """How many groups a row of so many inputs has."""
        if self.group_size == WHOLE_ROW:
            return min(num_inputs, 1)
        return -(-num_inputs // self.group_size)

    @property
    def parts(self) -> Mapping[str, str]:
        """What follows a matrix's name in the names of its parts, by what GPTQ calls them."""
        return _PACKED_PARTS if self.layout == "pack-quantized" else _PARTS

    @property
    def optional_parts(self) -> frozenset[str]:
        return frozenset({"g_idx", "qzeros"} if self.layout == "pack-quantized" else {"g_idx"})


def read_grouping(stored: Config) -> Grouping:
    """Read a quantization_config whose quant_method is gptq or awq.

    Raises UnsupportedError naming the first key and value that is not implemented.
    """
    method = stored.text("quant_method")
    layout = _awq_layout(stored) if method == "awq" else _gptq_layout(stored)
    stored.require("bits", *((4,) if method == "awq" else (4, 8)))
    group_size = stored.integer("group_size", default=128, minimum=WHOLE_ROW)
    if group_size == 0:
        raise CheckpointError("quantization_config says group_size = 0, which is no size")
    grouping = Grouping(
        layout=layout,
        bits=stored.integer("bits", default=4),
        group_size=group_size,
        is_reordered=stored.boolean("desc_act", default=False),
    )
    stored.refuse_unread(_OF_MAKING | _OF_RUNNING)
    return grouping


def _gptq_layout(stored: Config) -> Layout:
    spellings = ("checkpoint_format", "format")
    for key in spellings:
        stored.require(key, "gptq", "gptq_v2")
    stored.require("method", "gptq")
    stored.require("is_marlin_format", False)
    stored.require("pack_dtype", "int32")
    for name in stored.section("dynamic").names():
        if not name.startswith("-"):
            raise UnsupportedError(
                f"quantization_config says dynamic = {name!r}: other bits or groups for some "
                "matrices, which is not implemented"
            )
    is_second = any(stored.text(key, default="gptq") == "gptq_v2" for key in spellings)
    return "gptq_v2" if is_second else "gptq"


def _awq_layout(stored: Config) -> Layout:
    stored.require("version", "gemm", "GEMM")
    stored.require("format", "gemm")
    stored.require("backend", "auto", "autoawq", "gemm")
    return "awq"


def grouped_shape(grouping: Grouping, shapes: Mapping[str, Shape]) -> Shape | None:
    """Return [out, in] of a matrix whose parts have these shapes; None where they do not fit."""
    words = shapes["qweight"]
    if len(words) != 2 or len(shapes["scales"]) != 2:
        return None
    sizes = _packed_sizes if grouping.layout == "pack-quantized" else _grouped_sizes
    (num_outputs, num_inputs), expected = sizes(grouping, words, shapes["scales"])
    fits = all(shape == expected[part] for part, shape in shapes.items())
    is_whole = grouping.layout != "awq" or num_outputs * grouping.bits % WORD_BITS == 0
    return (num_outputs, num_inputs) if fits and is_whole else None


def _grouped_sizes(
    grouping: Grouping, words: Shape, scales: Shape
) -> tuple[tuple[int, int], dict[str, Shape]]:
    per_word = WORD_BITS // grouping.bits
    num_groups, num_outputs = scales
    is_awq = grouping.layout == "awq"
    num_inputs = words[0] if is_awq else words[0] * per_word
    return (num_outputs, num_inputs), {
        "qweight": (words[0], num_outputs // per_word if is_awq else num_outputs),
        "qzeros": (num_groups, -(-num_outputs // per_word)),
        "scales": (grouping.num_groups(num_inputs), num_outputs),
        "g_idx": (num_inputs,),
    }


def _packed_sizes(
    grouping: Grouping, words: Shape, scales: Shape
) -> tuple[tuple[int, int], dict[str, Shape]]:
    per_word = WORD_BITS // grouping.bits
    num_outputs, num_inputs = words[0], words[1] * per_word
    return (num_outputs, num_inputs), {
        "qweight": words,
        "qzeros": (-(-num_outputs // per_word), scales[1]),
        "scales": (num_outputs, grouping.num_groups(num_inputs)),
        "g_idx": (num_inputs,),
    }


def unpack_integers(grouping: Grouping, parts: Mapping[str, Array], name: str) -> Integers:
    """Return the integers of the matrix `name`, bit for bit.

    Raises CheckpointError where an input is of a group that is not there.
    """
    read = _packed_matrix if grouping.layout == "pack-quantized" else _grouped_matrix
    values, zeros, scales = read(grouping, parts)
    sizes = values.shape[1], scales.shape[1]
    return Integers(
        bits=grouping.bits,
        values=np.ascontiguousarray(values),
        zeros=np.ascontiguousarray(zeros),
        scales=np.ascontiguousarray(scales.astype(np.float32)),
        groups=_groups(grouping, parts.get("g_idx"), sizes, name),
    )


def _grouped_matrix(grouping: Grouping, parts: Mapping[str, Array]) -> tuple[Bytes, Bytes, Array]:
    bits = grouping.bits
    zeros = np.array(parts["qzeros"]).view(np.uint32)
    if grouping.layout == "gptq":
        # Of the whole word, so that what the subtraction borrowed comes back.
        zeros = zeros + np.uint32(sum(1 << place for place in range(0, WORD_BITS, bits)))
    words, along_columns = np.array(parts["qweight"]).view(np.uint32), _unpacked(zeros, bits)
    if grouping.layout == "awq":
        values = _unpacked(words, bits)[..., _PLACES_IN_AWQ].reshape(len(words), -1).T
        along_columns = along_columns[..., _PLACES_IN_AWQ]
    else:
        values = _unpacked(words, bits).transpose(1, 0, 2).reshape(words.shape[1], -1)
    return values, along_columns.reshape(len(zeros), -1).T[: len(values)], parts["scales"].T


def _packed_matrix(grouping: Grouping, parts: Mapping[str, Array]) -> tuple[Bytes, Bytes, Array]:
    words, scales = np.array(parts["qweight"]).view(np.uint32), parts["scales"]
    values = _unpacked(words, grouping.bits).reshape(len(words), -1)
    if "qzeros" not in parts:
        return values, np.full(scales.shape, 2 ** (grouping.bits - 1), np.uint8), scales
    zeros = _unpacked(np.array(parts["qzeros"]).view(np.uint32), grouping.bits)
    along_rows = zeros.transpose(0, 2, 1).reshape(-1, scales.shape[1])
    return values, along_rows[: len(values)], scales


def widen(integers: Integers) -> Float32:
    """Return the values [out, in] that the integers stand for."""
    distance = integers.values.astype(np.float32) - integers.zeros[:, integers.groups]
    return distance * integers.scales[:, integers.groups]


def _unpacked(words: npt.NDArray[np.uint32], bits: int) -> Bytes:
    """Return [..., integers of a word], the lowest first."""
    octets = words.astype("<u4", copy=False).view(np.uint8).reshape(*words.shape, 4)
    if bits == 8:
        return octets
    return np.stack([octets & np.uint8(0x0F), octets >> np.uint8(4)], axis=-1).reshape(
        *words.shape, 8
    )


def _groups(
    grouping: Grouping, stored: Array | None, sizes: tuple[int, int], name: str
) -> npt.NDArray[np.int64]:
    num_inputs, num_groups = sizes
    if stored is None:
        size = num_inputs if grouping.group_size == WHOLE_ROW else grouping.group_size
        return np.arange(num_inputs) // size
    groups = stored.astype(np.int64)
    if groups.size and not 0 <= int(groups.min()) <= int(groups.max()) < num_groups:
        raise CheckpointError(f"the g_idx of {name} names groups beside its {num_groups}")
    return groups
