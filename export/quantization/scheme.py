"""Decide which tensors get how many bits: data, and the functions that read it.

The router and the norms stay in float32: they are small, and a router that picks another expert
changes more than any rounding.

int4 keeps the embedding and the head in 8 bits. Perplexity against float32, on 20,000 tokens of
held-out code with the first checkpoint that shipped (tied weights, `python -m benchmarks.quality`):

    block size                      32       64      128
    embedding and head in 8 bits  +0.9 %   +1.0 %   +1.4 %    next tokens equal: 94, 93, 93 %
    embedding and head in 4 bits  +2.7 %   +3.2 %   +4.2 %    next tokens equal: 90, 89, 88 %
    everything in 8 bits          +0.0 %   +0.0 %   +0.1 %    next tokens equal: 99, 99, 99 %
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal, get_args

import msgspec
import numpy as np

from export.errors import UnsupportedError
from export.quantization.blockwise import (
    NUM_CANDIDATES,
    Float,
    Float16,
    Float32,
    Weight,
)
from export.quantization.rounding import Grid, Moments, error_feedback, half_quadratic, nearest
from export.quantization.weighted import weighted
from export.spec.slot import Slot, SlotRole
from inference.package.manifest import ModelManifest, Precision

FULL: Final = 32
"""Bits of a role that is not rounded."""

HALF: Final = 16
"""Bits of a role that is stored as float16."""

BLOCK_SIZES: Final = (32, 64, 128)
CUDA_DENSE_BLOCK_SIZE: Final = 32
"""The block size on CUDA of what is not an expert. The fast kernels of onnxruntime's own builds are
made for it (docs/contrib_ops/cuda/matmul_nbits.md, section 6). Experts have kernels for each."""

COARSE_HEAD: Final = "coarse_head"
"""What a weight is called that is no tensor of the checkpoint: its head, or embedding where tied,
once more in few bits."""

COARSE_HEAD_BITS: Final = 4
COARSE_HEAD_BLOCK_SIZE: Final = 128
"""Whatever the blocks of others: smaller ones find the best tokens no better and are slower to read
(docs/quantization.md)."""

LOOKED_UP_BLOCK_SIZE: Final = 32
"""Of embedding and head where a coarse one scores all tokens: single rows are read fast in any."""

Head = Literal["whole", "refined"]

Preset = Literal["f32", "f16", "int8", "int4", "int4-quality"]
Rounding = Literal["nearest", "half-quadratic", "weighted", "gptq"]

ROUNDINGS: Final = get_args(Rounding)
CALIBRATED: Final[frozenset[Rounding]] = frozenset({"weighted", "gptq"})
"""Those that read a text."""

HEADS: Final = get_args(Head)


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """How each tensor is rounded: by its role, unless it is among the `raised`, which get 8 bits.

    The roles that have no `bits` stay in float32. `dense_block_size` is that of matrices that are
    not experts, where it is another. Zero points are only for 4 bits: 256 steps lose
    nothing by lying around the middle. `coarse_head` is the block size of a coarse head, where the
    graph has one.
    """

    precision: Precision
    block_size: int
    bits: Mapping[SlotRole, int]
    rounding: Rounding = "nearest"
    has_zero_points: bool = False
    raised: frozenset[str] = frozenset()
    dense_block_size: int | None = None
    coarse_head: int | None = None
    num_candidates: int = NUM_CANDIDATES

    @property
    def has_blocks(self) -> bool:
        return any(bits < HALF for bits in self.bits.values())

    def bits_of(self, role: SlotRole) -> int:
        return COARSE_HEAD_BITS if role == COARSE_HEAD else self.bits.get(role, FULL)

    def block_size_of(self, role: SlotRole) -> int:
        if self.coarse_head is not None:
            if role == COARSE_HEAD:
                return self.coarse_head
            if role in {"embedding", "head"}:
                return LOOKED_UP_BLOCK_SIZE
        dense = self.dense_block_size
        return self.block_size if role == "expert" or dense is None else dense

    def grid(self, name: str, slot: Slot) -> Grid | None:
        """Return what a tensor is rounded to; None where it is not."""
        bits = self.bits_of(slot.role)
        if bits >= HALF:
            return None
        bits = 8 if name in self.raised else bits
        return Grid(
            bits=bits,
            block_size=self.block_size_of(slot.role),
            has_zero_points=self.has_zero_points and bits == 4 and slot.role != COARSE_HEAD,
            num_candidates=1 if slot.role == COARSE_HEAD else self.num_candidates,
        )


BITS: Final[Mapping[Preset, Mapping[SlotRole, int]]] = {
    "f32": {},
    "f16": {"embedding": HALF, "head": HALF, "projection": HALF, "expert": HALF},
    "int8": {"embedding": 8, "head": 8, "projection": 8, "expert": 8},
    "int4": {"embedding": 8, "head": 8, "projection": 4, "expert": 4},
    "int4-quality": {"embedding": 8, "head": 8, "projection": 4, "expert": 4},
}

PRECISIONS: Final[Mapping[Preset, Precision]] = {
    "f32": "f32",
    "f16": "f16",
    "int8": "int8",
    "int4": "int4",
    "int4-quality": "int4",
}
"""What a package of each preset calls itself."""


def find_scheme(
    preset: str,
    block_size: int,
    *,
    rounding: Rounding = "nearest",
    has_zero_points: bool = False,
) -> Scheme:
    """Return the scheme of a preset. Raises UnsupportedError for values that have none."""
    if preset not in BITS:
        raise UnsupportedError(f"precision {preset} is not implemented; use {', '.join(BITS)}")
    if block_size not in BLOCK_SIZES:
        sizes = ", ".join(map(str, BLOCK_SIZES))
        raise UnsupportedError(f"block size {block_size} is not implemented; use one of {sizes}")
    bits = BITS[preset]
    if has_zero_points and 4 not in bits.values():
        raise UnsupportedError(
            f"zero points are for 4 bits, which {preset} has not; leave them out"
        )
    return Scheme(
        precision=PRECISIONS[preset],
        block_size=block_size,
        bits=bits,
        rounding=rounding,
        has_zero_points=has_zero_points,
    )


def scheme_slots(scheme: Scheme, needed: Mapping[str, Slot]) -> Mapping[str, Slot]:
    """Return the slots of a graph's weights: those of its spec, and a coarse head's."""
    if scheme.coarse_head is None:
        return needed
    shape = needed[source_slot(COARSE_HEAD, needed)].shape
    return {**needed, COARSE_HEAD: Slot(shape=shape, role=COARSE_HEAD)}


def source_slot(name: str, needed: Mapping[str, Slot]) -> str:
    """Return the slot of a spec that a weight is made of."""
    if name != COARSE_HEAD:
        return name
    return "head" if "head" in needed else "embedding"


def scheme_of(manifest: ModelManifest) -> Scheme:
    """Return the scheme that a package was made with, as its manifest tells."""
    scheme = find_scheme(
        manifest.precision,
        manifest.block_size or BLOCK_SIZES[-1],
        has_zero_points=bool(manifest.quality.get("zero_points")),
    )
    raised = frozenset(manifest.quality.get("raised_to_int8", []))
    coarse_head = manifest.quality.get("coarse_head")
    return msgspec.structs.replace(scheme, raised=raised, coarse_head=coarse_head)


def rounded_rows(slots: Mapping[str, Slot]) -> Mapping[str, int]:
    """Return how long the rows are of what every scheme with blocks rounds."""
    return {name: slot.shape[-1] for name, slot in slots.items() if slot.role in BITS["int8"]}


def fitting_block_size(wanted: int, rows: Collection[int]) -> int:
    """Return the largest block size up to the wanted one that divides all rows.

    It is the wanted one where none does, which `check_scheme` then refuses.
    """
    sizes = [size for size in BLOCK_SIZES if size <= wanted and not any(n % size for n in rows)]
    return max(sizes, default=wanted)


def replaced_words(wanted: int, used: int, rows: Collection[int]) -> str | None:
    """Say which block size takes another's place, and why; None where none does."""
    if used == wanted:
        return None
    row = next(row for row in rows if row % wanted)
    return f"block size {used} instead of {wanted}, which does not divide rows of {row}"


def check_scheme(scheme: Scheme, slots: Mapping[str, Slot]) -> None:
    """Raise UnsupportedError naming the first slot whose rows do not divide into blocks."""
    if not scheme.has_blocks:
        return
    columns = {name: slot.shape[-1] for name, slot in slots.items() if slot.role in scheme.bits}
    fitting = [size for size in BLOCK_SIZES if not any(n % size for n in columns.values())]
    remedy = f"use --block-size {fitting[-1]}" if fitting else "use --precision f32"
    for name, size in columns.items():
        if size % scheme.block_size:
            raise UnsupportedError(
                f"{name} has rows of {size}, which block size {scheme.block_size} does not "
                f"divide; {remedy}"
            )


FindMoments = Callable[[str], Moments | None]
"""Returns the second moments of what a tensor multiplies, where the calibration text has any: for
GPTQ all of them, for weighted rounding those of each column with itself."""


def no_moments(name: str) -> None:
    """Know nothing of what a tensor multiplies."""


def apply_scheme(
    scheme: Scheme,
    name: str,
    slot: Slot,
    values: Float32,
    *,
    find_moments: FindMoments = no_moments,
) -> Weight:
    """Round one tensor as the scheme says.

    Where there are no moments, as for embedding and head, it rounds to nearest.
    """
    grid = scheme.grid(name, slot)
    if grid is None:
        return Float(_halved(name, values) if scheme.bits_of(slot.role) == HALF else values)
    match scheme.rounding:
        case "nearest":
            return nearest(values, grid)
        case "half-quadratic":
            return half_quadratic(values, grid)
        case "weighted":
            squares = find_moments(name)
            return nearest(values, grid) if squares is None else weighted(values, grid, squares)
        case "gptq":
            moments = find_moments(name)
            return (
                nearest(values, grid) if moments is None else error_feedback(values, grid, moments)
            )


def _halved(name: str, values: Float32) -> Float16:
    with np.errstate(over="ignore"):
        halved = values.astype(np.float16)
    if not np.isfinite(halved).all():
        raise UnsupportedError(
            f"{name} has values of up to {np.abs(values).max():.3g}, beyond float16; "
            "use --precision f32 or int8"
        )
    return halved
