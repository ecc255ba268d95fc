"""What a user may say about an export, and what is assumed where nothing is said."""

from pathlib import Path

import msgspec

from export.package.fim_conventions import AUTOMATIC, Layout
from export.quantization.scheme import Head, Preset, Rounding
from inference.package.manifest import Device


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`fim` is the name of a convention, "auto" or "none".

    `fim_order`, `context_length` and `name` are None where the checkpoint decides; of a large
    model's orders none is measured where one is named. `revision` is a branch, tag or commit of a
    Hugging Face id.
    `device` "cuda" adds a second graph, so that one package serves both.
    `block_size`, `rounding`, `zero_points` and `head` None are a model's defaults, see
    export.choice; blocks are those of what is stored rounded, where ours have that size, and a size
    that does not divide the model's rows is replaced by one that does.
    `ignore_config` are keys of config.json that nothing reads and the user says change nothing.
    `calibration` None is the shipped text, `quality_limit` None that of the precision.
    `accept_quality` exports whatever agreement is measured, over `quality_tokens` tokens; None is
    fewer for large models.
    """

    precision: Preset = "int4"
    device: Device = "cpu"
    block_size: int | None = None
    rounding: Rounding | None = None
    zero_points: bool | None = None
    head: Head | None = None
    calibration: Path | None = None
    quality_limit: float | None = None
    accept_quality: bool = False
    quality_tokens: int | None = None
    fim: str = AUTOMATIC
    fim_order: Layout | None = None
    context_length: int | None = None
    name: str | None = None
    revision: str | None = None
    ignore_config: tuple[str, ...] = ()
