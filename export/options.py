"""What a user may say about an export, and what is assumed where nothing is said."""

from pathlib import Path

import msgspec

from export.package.fim_conventions import AUTOMATIC
from export.quantization.scheme import DEFAULT_ROUNDING, Preset, Rounding
from export.texts import NUM_TOKENS
from inference.fim import FimOrder
from inference.package.manifest import Device


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`fim` is the name of a convention, "auto" or "none".

    `fim_order`, `context_length` and `name` are None where the checkpoint decides; `revision` is
    a branch, tag or commit of a Hugging Face id.
    `device` "cuda" adds a second graph, so that one package serves both.
    `block_size` None is the group size of what GPTQ or AWQ stored, where that is a block size, and
    128 for all else; one that does not divide the model's rows is replaced by one that does.
    `ignore_config` are keys of config.json that nothing reads and the user says change nothing.
    `calibration` None is the shipped text, `quality_limit` None that of the precision.
    `accept_quality` exports whatever agreement is measured, over `quality_tokens` tokens.
    """

    precision: Preset = "int4"
    device: Device = "cpu"
    block_size: int | None = None
    rounding: Rounding = DEFAULT_ROUNDING
    zero_points: bool = False
    calibration: Path | None = None
    quality_limit: float | None = None
    accept_quality: bool = False
    quality_tokens: int = NUM_TOKENS
    fim: str = AUTOMATIC
    fim_order: FimOrder | None = None
    context_length: int | None = None
    name: str | None = None
    revision: str | None = None
    ignore_config: tuple[str, ...] = ()
