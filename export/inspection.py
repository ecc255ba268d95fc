"""Say what a checkpoint is and what a package of it would cost, without reading a weight.

Only config, tokenizer and the headers of the safetensors files are read; of a Hugging Face id only
the small files are fetched.
"""

from collections.abc import Callable
from math import prod
from typing import Final, get_args

import msgspec

from export.architectures import CheckpointArchitecture
from export.checkpoint.gptq_awq import Grouping
from export.checkpoint.source import CheckpointSource
from export.choice import choose_scheme
from export.errors import ExportError
from export.graph.cuda import check_cuda, cuda_scheme
from export.options import ExportOptions
from export.original import Original, open_slots, read_original
from export.package.manifest import describe
from export.quantization.scheme import (
    BITS,
    COARSE_HEAD,
    HALF,
    Scheme,
    check_scheme,
    scheme_slots,
)
from export.spec.decoder import (
    DecoderSpec,
    Slot,
    num_active_parameters,
    num_parameters,
    slots,
)
from inference.fim import FimTemplate
from inference.package.manifest import TOKENIZER_FILE, Architecture, Precision
from inference.runtime.caches import num_cache_bytes

_FLOAT_BYTES: Final = 4
_HALF_BYTES: Final = 2
_PAGE_BYTES: Final = 4096


class PackageSize(msgspec.Struct, frozen=True, kw_only=True):
    """`num_bytes` is None where the block size does not fit the model, as `problem` says.

    `num_bytes_cuda` is the size with a second graph for CUDA, None for what `problem_cuda` says.
    """

    num_bytes: int | None
    problem: str | None
    num_bytes_cuda: int | None = None
    problem_cuda: str | None = None


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """`grouping` says what becomes of what GPTQ or AWQ stored, None where neither did.

    `block_size` is what int8 and int4 would use, and `replaced` says why where that is not what was
    asked for.

    `tensors` says whether the weights are there and are the model's; None where not looked at.
    `remarks` say what an export would leave out, or guess.

    `cache_bytes` are what one session over `context_length` tokens keeps.
    """

    name: str
    revision: str | None
    architecture: Architecture
    layers: tuple[str, ...]
    parameters: int
    active_parameters: int
    packages: dict[str, PackageSize]
    context_length: int
    cache_bytes: int
    fim: FimTemplate | None
    eos_token_ids: tuple[int, ...]
    block_size: int
    replaced: str | None
    grouping: str | None
    tensors: str | None
    remarks: tuple[str, ...]


def inspect_checkpoint(source: str, options: ExportOptions) -> Inspection:
    """Describe a folder or a Hugging Face id without reading, or fetching, a weight.

    Raises an ExportError where it could not be exported, as far as the small files tell.
    """
    original = read_original(source, options)
    found, identity, architecture = original.source, original.identity, original.architecture
    spec, grouping = architecture.spec, architecture.grouping
    choice, figures = choose_scheme(options, original), describe(identity.model_type, spec)
    tables = identity.context_length * figures.head_dim * _FLOAT_BYTES  # of cosines and sines
    documents = (found.folder / TOKENIZER_FILE).stat().st_size
    tensors, remarks = _tensors(found, architecture)
    return Inspection(
        name=found.name,
        revision=found.revision,
        architecture=figures,
        layers=tuple(_runs([_words(layer) for layer in spec.layers])),
        parameters=num_parameters(spec),
        active_parameters=num_active_parameters(spec),
        packages={
            name: _package_size(
                original, msgspec.structs.replace(options, precision=name), documents, tables
            )
            for name in BITS
            if name in get_args(Precision)  # which tensors int4-quality raises is not known yet
        },
        context_length=identity.context_length,
        cache_bytes=num_cache_bytes(figures, identity.context_length),
        fim=identity.fim,
        eos_token_ids=identity.eos_token_ids,
        block_size=choice.scheme.block_size,
        replaced=choice.replaced,
        grouping=grouping and _grouping_words(grouping, choice.scheme.block_size),
        tensors=tensors,
        remarks=(*original.remarks, *remarks),
    )


def slot_bytes(scheme: Scheme, slot: Slot) -> int:
    """Return what a tensor takes in a package: its values, and a scale for each block.

    Both begin at a page boundary, which costs half a page on average.
    """
    num_values = prod(slot.shape)
    bits, grid = scheme.bits_of(slot.role), scheme.grid("", slot)  # no slot is raised by its name
    if grid is None:
        return num_values * bits // 8 + _PAGE_BYTES // 2
    num_blocks = num_values // grid.block_size
    zero_points = num_blocks * bits // 8 + _PAGE_BYTES // 2 if grid.has_zero_points else 0
    return num_values * bits // 8 + num_blocks * _FLOAT_BYTES + zero_points + _PAGE_BYTES


def cuda_slot_bytes(scheme: Scheme, slot: Slot) -> int:
    """Return what a tensor adds for CUDA: scales in float16, and integers where blocks differ.

    The table of embeddings has zero points there. Routers and what is float16 already are shared.
    """
    if slot.role == COARSE_HEAD:
        return 0
    num_values = prod(slot.shape)
    bits = scheme.bits_of(slot.role)
    if bits >= HALF:
        return 0 if bits == HALF or slot.role == "router" else num_values * _HALF_BYTES
    block_size = cuda_scheme(scheme).block_size_of(slot.role)
    is_shared = block_size == scheme.block_size_of(slot.role)
    zero_points = bits // 8 if slot.role == "embedding" else 0
    per_block = _HALF_BYTES + zero_points
    return (0 if is_shared else num_values * bits // 8) + num_values // block_size * per_block


def in_words(inspection: Inspection) -> str:
    """Return the page that is shown to people."""
    figures = inspection.architecture
    revision = f" at {inspection.revision}" if inspection.revision else ""
    lines = [
        f"{inspection.name}{revision}: {figures.model_type}",
        f"  layers      {figures.num_hidden_layers} of hidden size {figures.hidden_size}",
        *(f"              {words}" for words in inspection.layers),
        f"  vocabulary  {figures.vocab_size} tokens",
        f"  parameters  {_millions(inspection.parameters)}",
        f"  active      {_millions(inspection.active_parameters)} for each token",
        *(_package_line(name, size) for name, size in inspection.packages.items()),
        f"  blocks      {inspection.replaced or f'block size {inspection.block_size}'}",
        f"  cache       {_megabytes(inspection.cache_bytes)} beside the package",
        f"  context     {inspection.context_length} tokens",
        f"  holes       {_holes(inspection.fim)}",
        f"  ends        {', '.join(map(str, inspection.eos_token_ids))}",
        *([f"  stored      {inspection.grouping}"] if inspection.grouping else []),
        f"  weights     {inspection.tensors or 'not looked at'}",
        *(f"  note        {remark}" for remark in inspection.remarks),
    ]
    return "\n".join(lines)


def _package_size(
    original: Original, options: ExportOptions, documents: int, tables: int
) -> PackageSize:
    spec = original.spec
    scheme = choose_scheme(options, original).scheme
    for_cuda = choose_scheme(msgspec.structs.replace(options, device="cuda"), original).scheme
    try:
        check_scheme(scheme, slots(spec))
    except ExportError as error:
        return PackageSize(num_bytes=None, problem=str(error), problem_cuda=str(error))
    rest = tables + documents
    size = PackageSize(num_bytes=_num_bytes(scheme, spec, slot_bytes) + rest, problem=None)
    try:
        check_cuda(spec, for_cuda)
    except ExportError as error:
        return msgspec.structs.replace(size, problem_cuda=str(error))
    weights = (_num_bytes(for_cuda, spec, count) for count in (slot_bytes, cuda_slot_bytes))
    return msgspec.structs.replace(size, num_bytes_cuda=sum(weights) + rest + tables // 2)


def _num_bytes(scheme: Scheme, spec: DecoderSpec, count: Callable[[Scheme, Slot], int]) -> int:
    return sum(count(scheme, slot) for slot in scheme_slots(scheme, slots(spec)).values())


def _tensors(
    found: CheckpointSource, architecture: CheckpointArchitecture
) -> tuple[str | None, tuple[str, ...]]:
    """Hold the headers of weights that are here against the model; say what would be left out."""
    if found.revision is not None:  # they were not fetched
        return None, ()
    try:
        opened = open_slots(found, architecture)
    except ExportError as error:
        return str(error), ()
    used = opened.plan.names
    dtypes = ", ".join(sorted({opened.checkpoint.tensors[name].stored_as for name in used}))
    return f"{len(used)} tensors of {dtypes}, each with its place", opened.remarks


def _grouping_words(grouping: Grouping, block_size: int) -> str:
    """Say which package takes the stored integers over; what the headers tell is not the order."""
    kind = f"{grouping.layout}, {grouping.bits} bits in groups of {grouping.group_size}"
    if grouping.group_size != block_size:
        return f"{kind}, rounded again in blocks of {block_size}"
    if grouping.is_reordered:
        return f"{kind} in any order, rounded again unless they lie in order after all"
    return f"{kind}, taken over as they are by int{grouping.bits}"


def _words(part: object) -> str:
    """Write a value of the spec as its type and figures, however deep."""
    match part:
        case msgspec.Struct():
            fields = {name: getattr(part, name) for name in part.__struct_fields__}
            inner = ", ".join(
                f"{name} {_words(value)}" for name, value in fields.items() if value is not None
            )
            return f"{type(part).__name__}({inner})" if inner else type(part).__name__
        case _:
            return str(part)


def _runs(words: list[str]) -> list[str]:
    """Say once what is the same in neighbouring layers."""
    starts = [index for index, word in enumerate(words) if index == 0 or word != words[index - 1]]
    ends = [*starts[1:], len(words)]
    return [
        f"{start}: {words[start]}" if end == start + 1 else f"{start} to {end - 1}: {words[start]}"
        for start, end in zip(starts, ends, strict=True)
    ]


def _package_line(name: str, size: PackageSize) -> str:
    if size.num_bytes is None:
        return f"  {name:<11} {size.problem}"
    cuda = "" if size.num_bytes_cuda is None else f", {_megabytes(size.num_bytes_cuda)} with CUDA"
    return f"  {name:<11} {_megabytes(size.num_bytes)}{cuda}"


def _holes(fim: FimTemplate | None) -> str:
    return f"{fim.convention}, {fim.order}" if fim else "none: no known convention"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f}M"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
