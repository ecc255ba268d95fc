"""Turn a checkpoint into a package: the steps, in order.

Everything that can be refused is refused before the first weight is read, and nothing takes the
target's name before it was verified.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from export.architectures import Architecture, read_architecture
from export.checkpoint import Float32, open_checkpoint
from export.config import read_config
from export.conventions import AUTOMATIC, end_token_ids, fim_template, find_convention
from export.cuda_graph import (
    check_cuda,
    cuda_scheme,
    cuda_weights,
    slow_on_cuda,
    write_cuda_graph,
)
from export.data_file import DATA_FILE, DataFile, Place
from export.decoder import build_decoder
from export.errors import UnsupportedError
from export.graph import GraphBuilder
from export.grouped import Grouping
from export.inspection import Inspection, inspect
from export.moments import CalibrationMoments
from export.package import Identity, complete_package
from export.placing import check_output, replacing
from export.quality import (
    NUM_TOKENS,
    QUALITY_TEXT,
    ROUNDING_TEXT,
    WINDOW,
    Text,
    check_agreement,
    compare,
    manifest_figures,
    measure_fim,
    read_text,
)
from export.quantization.blockwise import Weight
from export.quantization.scheme import (
    DEFAULT_ROUNDING,
    FindMoments,
    Preset,
    Rounding,
    Scheme,
    block_size_for,
    check_scheme,
    find_scheme,
    no_moments,
)
from export.reader import open_reader
from export.sensitivity import NUM_TOKENS as NUM_SENSITIVITY_TOKENS
from export.sensitivity import raise_sensitive
from export.source import CheckpointSource, find_source
from export.spec import DecoderSpec, num_parameters, slots
from export.targets import CUDA
from export.tensors import plan
from export.tokens import (
    CHAT_TEMPLATE_FILE,
    read_chat_template,
    read_eos_token_ids,
    read_tokens,
)
from export.verify import MAX_ORACLE_PARAMETERS, verify_package
from export.weights import (
    RoundingErrors,
    StoredBlocks,
    check_copies,
    dequantized,
    kept,
    scheme_weights,
    slot_values,
    watched,
)
from inference.fim import FimOrder
from inference.manifest import (
    MODEL_FILE,
    TOKENIZER_FILE,
    Device,
    ModelManifest,
    Source,
    write_manifest,
)
from inference.tokenizer import Tokenizer

CONFIG_FILE: Final = "config.json"
MAX_DEFAULT_CONTEXT: Final = 32_768

Progress = Callable[[int, int], None]
"""Called before each slot is written with its number from 0, and with how many there are."""


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`fim` is the name of a convention, "auto" or "none".

    `fim_order`, `context_length` and `name` are None where the checkpoint decides; `revision` is
    a branch, tag or commit of a Hugging Face id.
    `device` "cuda" adds a second graph, so that one package serves both.
    `block_size` None is the group size of what GPTQ or AWQ stored, where that is a block size, and
    128 for all else.
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


def export_checkpoint(
    source: str, output: Path, options: ExportOptions, *, progress: Progress
) -> ModelManifest:
    """Export a folder or a Hugging Face id to a package folder; return its manifest.

    Raises an ExportError naming what was wrong; `output` is then as it was.
    """
    check_output(output)
    _find_scheme(options, None)  # what no checkpoint can make right
    found = find_source(source, revision=options.revision)
    architecture, identity = _read_small_files(found, options)
    scheme = _find_scheme(options, architecture.grouping)
    spec, needed = architecture.spec, slots(architecture.spec)
    check_scheme(scheme, needed)
    if options.device == "cuda":
        check_cuda(spec, scheme)
    texts = _Texts(found.folder / TOKENIZER_FILE, min(WINDOW, identity.context_length), options)
    values, stored = _open_values(found, architecture)
    if options.precision == "int4-quality":
        raised = raise_sensitive(scheme, spec, values, texts.for_sensitivity())
        scheme = msgspec.structs.replace(scheme, raised=raised)
    errors = RoundingErrors()
    weights = _rounded_weights(scheme, spec, (values, stored), texts, errors)
    with replacing(output) as folder:
        remembered: dict[bytes, Place] | None = {} if options.device == "cuda" else None
        _write_graph(folder, spec, _counted(weights, progress), identity, remembered)
        quality = {
            **_scheme_figures(options, scheme),
            **_stored_figures(stored, architecture.grouping),
            **errors.figures(),
        }
        if remembered is not None:
            found_moments = _find_moments(scheme, spec, values, texts)
            again = cuda_weights(folder, spec, scheme, values, found_moments)
            length = identity.context_length
            counted = _counted(again, progress)
            write_cuda_graph(folder, spec, counted, remembered, context_length=length)
            quality["cuda"] = _cuda_figures(spec, scheme)
        manifest = complete_package(
            folder,
            identity,
            spec,
            scheme,
            documents=_documents(found.folder),
            quality=quality,
        )
        verify_package(folder, manifest, spec, dequantized(weights))
        return _pass_gate(folder, manifest, spec, values, (texts, options))


def open_original(source: str) -> tuple[DecoderSpec, Mapping[str, Float32]]:
    """Return a checkpoint's spec and its slots in full precision, read when asked for."""
    found = find_source(source)
    architecture = read_architecture(read_config(found.folder / CONFIG_FILE))
    values, _ = _open_values(found, architecture)
    return architecture.spec, values


def _find_scheme(options: ExportOptions, grouping: Grouping | None) -> Scheme:
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
        block_size_for(options.block_size, grouping),
        rounding=options.rounding,
        has_zero_points=options.zero_points,
    )


class _Texts(msgspec.Struct, frozen=True):
    """The calibration texts as the checkpoint's tokenizer cuts them, read when asked for."""

    tokenizer: Path
    window: int
    options: ExportOptions

    def for_rounding(self) -> Text:
        return self._read(self.options.calibration or ROUNDING_TEXT, NUM_TOKENS)

    def for_sensitivity(self) -> Text:
        return self._read(self.options.calibration or ROUNDING_TEXT, NUM_SENSITIVITY_TOKENS)

    def for_quality(self) -> Text:
        return self._read(QUALITY_TEXT, self.options.quality_tokens)

    def _read(self, path: Path, num_tokens: int) -> Text:
        tokenizer = Tokenizer.load(self.tokenizer)
        return read_text(path, tokenizer, num_tokens=num_tokens, window=self.window)


def _rounded_weights(
    scheme: Scheme,
    spec: DecoderSpec,
    values_and_stored: tuple[Mapping[str, Float32], StoredBlocks],
    texts: _Texts,
    errors: RoundingErrors,
) -> Mapping[str, Weight]:
    values, stored = values_and_stored
    find_moments = _find_moments(scheme, spec, values, texts)
    weights = scheme_weights(
        scheme,
        slots(spec),
        values,
        find_stored=stored.find,
        find_moments=find_moments,
        on_rounded=errors.add,
    )
    return kept(weights) if _is_small(spec) else weights


def _find_moments(
    scheme: Scheme, spec: DecoderSpec, values: Mapping[str, Float32], texts: _Texts
) -> FindMoments:
    if scheme.rounding != "gptq" or not scheme.has_blocks:
        return no_moments
    # Double where it is cheap: other processors then round the same way.
    dtype = np.float64 if _is_small(spec) else np.float32
    return CalibrationMoments(spec, values, texts.for_rounding(), dtype=dtype).find


def _is_small(spec: DecoderSpec) -> bool:
    return num_parameters(spec) <= MAX_ORACLE_PARAMETERS


def _cuda_figures(spec: DecoderSpec, scheme: Scheme) -> dict[str, Any]:
    found = cuda_scheme(scheme)
    blocks = {"dense_block_size": found.block_size_of("projection")} if found.has_blocks else {}
    slow = slow_on_cuda(spec)
    return {"activations": str(CUDA.activations), **blocks, **({"slow": slow} if slow else {})}


def _scheme_figures(options: ExportOptions, scheme: Scheme) -> dict[str, Any]:
    if not scheme.has_blocks:
        return {}
    figures: dict[str, Any] = {
        "preset": options.precision,
        "rounding": scheme.rounding,
        "zero_points": scheme.has_zero_points,
    }
    return figures | ({"raised_to_int8": sorted(scheme.raised)} if scheme.raised else {})


def _stored_figures(stored: StoredBlocks, grouping: Grouping | None) -> dict[str, Any]:
    """Say how many matrices were taken over as they are stored, and how many rounded again."""
    if grouping is None:
        return {}
    counts = {"taken_over": len(stored.taken), "rounded_again": len(stored.rounded)}
    return {"stored": {"as": grouping.layout, **counts}}


def _pass_gate(
    folder: Path,
    manifest: ModelManifest,
    spec: DecoderSpec,
    values: Mapping[str, Float32],
    texts_and_options: tuple[_Texts, ExportOptions],
) -> ModelManifest:
    """Measure a package, refuse it or write the figures into its manifest."""
    texts, options = texts_and_options
    text = texts.for_quality()
    with open_reader(folder, manifest) as reader:
        comparison = compare(reader, spec, values, text)
        fim_bits = None if manifest.fim is None else measure_fim(reader, manifest.fim, text)
    if not options.accept_quality:
        check_agreement(manifest, comparison, limit=options.quality_limit)
    figures = manifest_figures(comparison, fim_bits, num_tokens=len(text.token_ids))
    manifest = msgspec.structs.replace(manifest, quality=manifest.quality | figures)
    write_manifest(manifest, folder)
    return manifest


def inspect_checkpoint(source: str, options: ExportOptions) -> Inspection:
    """Describe a folder or a Hugging Face id without reading, or fetching, a weight.

    Raises an ExportError where it could not be exported, as far as the small files tell.
    """
    found = find_source(source, revision=options.revision)
    architecture, identity = _read_small_files(found, options)
    block_size = block_size_for(options.block_size, architecture.grouping)
    return inspect(found, architecture, identity, block_size=block_size)


def _read_small_files(
    found: CheckpointSource, options: ExportOptions
) -> tuple[Architecture, Identity]:
    config = read_config(found.folder / CONFIG_FILE)
    architecture = read_architecture(config)
    vocab_size = architecture.spec.vocab_size
    tokens = read_tokens(found.folder, vocab_size=vocab_size)
    hints = architecture.family.model_type, found.name
    convention = find_convention(tokens.special, options.fim, hints=hints)
    more = end_token_ids(convention, tokens.special)
    identity = Identity(
        name=options.name or found.name.rpartition("/")[2],
        source=Source(name=found.name, revision=found.revision),
        model_type=architecture.family.model_type,
        context_length=_context_length(architecture.spec, options.context_length),
        eos_token_ids=read_eos_token_ids(found.folder, config, vocab_size=vocab_size, more=more),
        fim=fim_template(convention, tokens.special, options.fim_order),
        leading_token_ids=tokens.leading,
    )
    return architecture, identity


def _documents(folder: Path) -> dict[str, bytes]:
    """Return what the package keeps of the checkpoint as it is: data, none of which is run."""
    template = read_chat_template(folder)
    kept = {name: (folder / name).read_bytes() for name in (CONFIG_FILE, TOKENIZER_FILE)}
    return kept | ({} if template is None else {CHAT_TEMPLATE_FILE: template.encode()})


def _context_length(spec: DecoderSpec, wanted: int | None) -> int:
    limit = spec.max_position_embeddings
    if wanted is not None and not 1 <= wanted <= limit:
        raise UnsupportedError(
            f"context length {wanted} is not between 1 and the model's "
            f"max_position_embeddings = {limit}"
        )
    return wanted or min(limit, MAX_DEFAULT_CONTEXT)


def _open_values(
    found: CheckpointSource, architecture: Architecture
) -> tuple[Mapping[str, Float32], StoredBlocks]:
    checkpoint = open_checkpoint(found.fetch_weights(), architecture.grouping)
    needed = slots(architecture.spec)
    aliases = {"head": "embedding"} if architecture.spec.tie_word_embeddings else {}
    names = architecture.family.used(checkpoint.tensors, architecture.spec)
    assigned = plan(architecture.family.rules, names, needed, aliases=aliases)
    values = slot_values(checkpoint, assigned, needed)
    check_copies(checkpoint, assigned)
    return values, StoredBlocks(checkpoint, assigned, needed)


def _write_graph(
    folder: Path,
    spec: DecoderSpec,
    weights: Mapping[str, Weight],
    identity: Identity,
    remembered: dict[bytes, Place] | None,
) -> None:
    with (folder / DATA_FILE).open("wb") as data:
        graph = GraphBuilder(DataFile(data, remembered=remembered))
        build_decoder(graph, spec, weights, context_length=identity.context_length)
    graph.save(folder / MODEL_FILE)


def _counted(weights: Mapping[str, Weight], progress: Progress) -> Mapping[str, Weight]:
    order = {name: index for index, name in enumerate(weights)}
    return watched(weights, lambda name: progress(order[name], len(order)))
