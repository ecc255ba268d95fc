"""Factors of the rotation that a GGUF file holds as tensors: each divides one frequency.

`rope_freqs` is Llama 3.1's scaling, worked out when the file was made; `rope_factors_short` and
`rope_factors_long` are LongRoPE's, for texts within the first context and beyond it.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from export.checkpoint.config import Config
from export.checkpoint.gguf.blocks import PLAIN, mapped_rows, widened
from export.checkpoint.gguf.layout import TensorHeader
from export.checkpoint.gguf.metadata import shortest
from export.errors import CheckpointError, UnsupportedError

FREQUENCIES: Final = "rope_freqs.weight"
SHORT: Final = "rope_factors_short.weight"
LONG: Final = "rope_factors_long.weight"
STOPPED: Final = 1e29
"""What makes a frequency none: llama.cpp's converter writes ten times as much."""

FACTORS: Final = (FREQUENCIES, SHORT, LONG)


def stretched_by_tensors(
    headers: Mapping[str, TensorHeader], values: Mapping[str, Any], metadata: Config
) -> dict[str, Any]:
    """Return the `rope_scaling` of a config.json where tensors say it, nothing where none does.

    Raises CheckpointError where there are not as many factors as frequencies, or one is no number
    above zero.
    """
    if "global_head_dim" in values:
        return _proportional(headers, values)
    is_long = metadata.text("rope.scaling.type", default="none") == "longrope"
    found = {name: _factors(headers[name], values) for name in FACTORS if name in headers}
    if not found and not is_long:
        return {}
    if "rope_scaling" in values or found.keys() not in ({FREQUENCIES}, {SHORT, LONG}):
        raise UnsupportedError(
            f"the rotation is stretched in more than one way or by half of one: the file has "
            f"{', '.join(found) or 'no factors'}, and the metadata says rope.scaling.type = "
            f"{metadata.text('rope.scaling.type', default='none')!r}"
        )
    size = shortest(metadata.number("rope.scaling.attn_factor", default=1.0))
    if FREQUENCIES in found:
        factors = found[FREQUENCIES]
        scaling = {"short_factor": factors, "long_factor": factors, "attention_factor": size}
    else:
        original = metadata.integer(
            "rope.scaling.original_context_length", default=values["max_position_embeddings"]
        )
        scaling = {
            "short_factor": found[SHORT],
            "long_factor": found[LONG],
            "short_mscale": size,
            "long_mscale": size,
            "original_max_position_embeddings": original,
        }
    return {"rope_scaling": {"rope_type": "longrope", **scaling}}


def _proportional(headers: Mapping[str, TensorHeader], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return Gemma 4's rotations: factors of 1, and then such that stop the slower pairs."""
    parameters = values["rope_parameters"]
    whole: dict[str, Any] = parameters["full_attention"]
    share = 1.0
    if FREQUENCIES in headers:
        size = {"head_dim": values["global_head_dim"]}
        factors = np.array(_factors(headers[FREQUENCIES], size))
        num_rotated = int((factors == 1.0).sum())
        if not (factors[num_rotated:] >= STOPPED).all():
            raise UnsupportedError(
                f"{FREQUENCIES} stretches the rotation, which is not implemented"
            )
        share = num_rotated / len(factors)
    return {
        "rope_parameters": {
            **parameters,
            "full_attention": {**whole, "partial_rotary_factor": share},
        }
    }


def _factors(header: TensorHeader, values: Mapping[str, Any]) -> list[float]:
    wanted = _num_frequencies(values)
    if header.shape != (wanted,) or header.kind not in PLAIN:
        raise CheckpointError(
            f"{header.path}: {header.name} is {header.kind.name} of {list(header.shape)} where the "
            f"rotation has {wanted} frequencies"
        )
    factors = widened(mapped_rows(header), header.kind).ravel()
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise CheckpointError(f"{header.path}: {header.name} has factors that are not above zero")
    return [shortest(float(factor)) for factor in factors]


def _num_frequencies(values: Mapping[str, Any]) -> int:
    if "qk_rope_head_dim" in values:
        return int(values["qk_rope_head_dim"]) // 2
    share = values.get("partial_rotary_factor", 1.0)
    head_dim = values.get("head_dim") or values["hidden_size"] // values["num_attention_heads"]
    return int(head_dim * share) // 2
