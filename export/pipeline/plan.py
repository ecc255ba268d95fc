"""Read all that decides about an export, and refuse what cannot be; no weight is touched."""

from pathlib import Path

import msgspec

from export.choice import choose_scheme
from export.errors import UnsupportedError
from export.graph.cuda import check_cuda
from export.options import ExportOptions
from export.original import OpenedSlots, Original, open_slots, read_original
from export.quantization.scheme import Scheme, check_scheme
from export.quantization.sensitivity import NUM_TOKENS as NUM_SENSITIVITY_TOKENS
from export.spec.decoder import is_small, slots
from export.texts import (
    NUM_TOKENS,
    NUM_TOKENS_FOR_SQUARES,
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

    def for_rounding(self, *, only_squares: bool) -> Text:
        num_tokens = NUM_TOKENS_FOR_SQUARES if only_squares else NUM_TOKENS
        return self._read(self.options.calibration or ROUNDING_TEXT, num_tokens)

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

    `remarks` are what the user should know of it beside the package's own figures, a line each.
    """

    options: ExportOptions
    original: Original
    opened: OpenedSlots
    scheme: Scheme
    texts: Texts
    remarks: tuple[str, ...]


def plan_export(source: str, options: ExportOptions) -> ExportPlan:
    """Find a checkpoint and decide how it is exported.

    Raises an ExportError where checkpoint, options and device do not go together.
    """
    original = read_original(source, options)
    _refuse(options, original)
    choice, small = choose_scheme(options, original), is_small(original.spec)
    check_scheme(choice.scheme, slots(original.spec))
    if options.device == "cuda":
        check_cuda(original.spec, choice.scheme)
    opened = open_slots(original.source, original.architecture)
    return ExportPlan(
        options=options,
        original=original,
        opened=opened,
        scheme=choice.scheme,
        texts=Texts(
            tokenizer=Tokenizer.load(original.folder / TOKENIZER_FILE),
            window=min(WINDOW, original.identity.context_length),
            options=options,
            quality_tokens=options.quality_tokens or (NUM_TOKENS if small else NUM_TOKENS_OF_LARGE),
        ),
        remarks=(
            *original.remarks,
            *opened.remarks,
            *([choice.replaced] if choice.replaced else []),
        ),
    )


def _refuse(options: ExportOptions, original: Original) -> None:
    """Refuse what a checkpoint that is rounded already cannot become."""
    grouping = original.architecture.grouping
    if grouping is not None and options.precision == "int4-quality":
        raise UnsupportedError(
            f"int4-quality weighs what rounding to 4 bits would lose, and {grouping.method} has "
            "rounded this checkpoint already; use int4"
        )
    if grouping is not None and options.device == "cuda":
        raise UnsupportedError(
            f"what {grouping.method} rounded has no graph for CUDA; leave --device cuda out"
        )
