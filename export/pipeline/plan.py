"""Read all that decides about an export, and refuse what cannot be; no weight is touched."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from export.errors import UnsupportedError
from export.graph.cuda import check_cuda
from export.options import ExportOptions
from export.original import OpenedSlots, Original, open_slots, read_original
from export.quantization.scheme import (
    DEFAULT_BLOCK_SIZE,
    Scheme,
    block_size_for,
    check_scheme,
    find_scheme,
    fitting_block_size,
    replaced_words,
    rounded_rows,
    rounding_for,
)
from export.quantization.sensitivity import NUM_TOKENS as NUM_SENSITIVITY_TOKENS
from export.spec.decoder import DecoderSpec, Slot, is_small, slots
from export.texts import (
    NUM_TOKENS,
    NUM_TOKENS_OF_LARGE,
    QUALITY_TEXT,
    ROUNDING_TEXT,
    WINDOW,
    Text,
    read_text,
)
from inference.package.manifest import TOKENIZER_FILE
from inference.runtime.tokenizer import Tokenizer


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """The calibration texts as the checkpoint's tokenizer cuts them, read when asked for."""

    tokenizer: Tokenizer
    window: int
    options: ExportOptions
    quality_tokens: int

    def for_rounding(self) -> Text:
        return self._read(self.options.calibration or ROUNDING_TEXT, NUM_TOKENS)

    def for_sensitivity(self) -> Text:
        return self._read(self.options.calibration or ROUNDING_TEXT, NUM_SENSITIVITY_TOKENS)

    def for_quality(self) -> Text:
        return self._read(QUALITY_TEXT, self.quality_tokens)

    def for_holes(self) -> Text:
        return self._read(QUALITY_TEXT, NUM_TOKENS)

    def _read(self, path: Path, num_tokens: int) -> Text:
        return read_text(path, self.tokenizer, num_tokens=num_tokens, window=self.window)


class ExportPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be written: `scheme` says how each of the original's slots is rounded.

    `remark` is what the user should know of it beside the package's own figures.
    """

    options: ExportOptions
    original: Original
    opened: OpenedSlots
    scheme: Scheme
    texts: Texts
    remark: str | None


def plan_export(source: str, options: ExportOptions) -> ExportPlan:
    """Find a checkpoint and decide how it is exported.

    Raises an ExportError where checkpoint, options and device do not go together.
    """
    _check_options(options)
    original = read_original(source, options)
    wanted = _find_scheme(options, original)
    scheme, remark = _fitted(wanted, slots(original.spec))
    if options.device == "cuda":
        check_cuda(original.spec, scheme)
    return ExportPlan(
        options=options,
        original=original,
        opened=open_slots(original.source, original.architecture),
        scheme=scheme,
        texts=Texts(
            tokenizer=Tokenizer.load(original.folder / TOKENIZER_FILE),
            window=min(WINDOW, original.identity.context_length),
            options=options,
            quality_tokens=_quality_tokens(options, original.spec),
        ),
        remark=remark,
    )


def _fitted(wanted: Scheme, needed: Mapping[str, Slot]) -> tuple[Scheme, str | None]:
    """Return a scheme whose blocks divide all rows, and a line where they had to be smaller."""
    if not wanted.has_blocks:
        return wanted, None
    rows = rounded_rows(needed).values()
    block_size = fitting_block_size(wanted.block_size, rows)
    scheme = msgspec.structs.replace(wanted, block_size=block_size)
    check_scheme(scheme, needed)
    return scheme, replaced_words(wanted.block_size, block_size, rows)


def _quality_tokens(options: ExportOptions, spec: DecoderSpec) -> int:
    if options.quality_tokens is not None:
        return options.quality_tokens
    return NUM_TOKENS if is_small(spec) else NUM_TOKENS_OF_LARGE


def _check_options(options: ExportOptions) -> None:
    """Refuse what no checkpoint can make right."""
    find_scheme(
        options.precision,
        options.block_size or DEFAULT_BLOCK_SIZE,
        has_zero_points=options.zero_points,
    )


def _find_scheme(options: ExportOptions, original: Original) -> Scheme:
    grouping, small = original.architecture.grouping, is_small(original.spec)
    if grouping is not None and options.precision == "int4-quality":
        raise UnsupportedError(
            f"int4-quality weighs what rounding to 4 bits would lose, and {grouping.method} has "
            "rounded this checkpoint already; use int4"
        )
    if grouping is not None and options.device == "cuda":
        raise UnsupportedError(
            f"what {grouping.method} rounded has no graph for CUDA; leave --device cuda out"
        )
    return find_scheme(
        options.precision,
        block_size_for(options.block_size, original.stored_block_size, is_small=small),
        rounding=rounding_for(options.rounding, is_small=small),
        has_zero_points=options.zero_points,
    )
