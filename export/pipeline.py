"""Turn a checkpoint into a package: the steps, in order.

Everything that can be refused is refused before the first weight is read, and nothing takes the
target's name before it was verified.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from export.architectures import Architecture, read_architecture
from export.checkpoint import Float32, open_checkpoint
from export.config import read_config
from export.conventions import AUTOMATIC, end_token_ids, fim_template, find_convention
from export.decoder import build_decoder
from export.errors import UnsupportedError
from export.graph import DATA_FILE, GraphBuilder
from export.inspection import Inspection, inspect
from export.package import Identity, complete_package
from export.placing import check_output, replacing
from export.quantization.blockwise import Weight
from export.quantization.scheme import check_scheme, find_scheme
from export.source import CheckpointSource, find_source
from export.spec import DecoderSpec, slots
from export.tensors import plan
from export.tokens import (
    CHAT_TEMPLATE_FILE,
    read_chat_template,
    read_eos_token_ids,
    read_tokens,
)
from export.verify import verify_package
from export.weights import (
    RoundingErrors,
    check_copies,
    dequantized,
    scheme_weights,
    slot_values,
    watched,
)
from inference.fim import FimOrder
from inference.manifest import MODEL_FILE, TOKENIZER_FILE, ModelManifest, Precision, Source

CONFIG_FILE: Final = "config.json"
MAX_DEFAULT_CONTEXT: Final = 32_768

Progress = Callable[[int, int], None]
"""Called before each slot is written with its number from 0, and with how many there are."""


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`fim` is the name of a convention, "auto" or "none".

    `fim_order`, `context_length` and `name` are None where the checkpoint decides; `revision` is
    a branch, tag or commit of a Hugging Face id.
    """

    precision: Precision = "int4"
    block_size: int = 128
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
    scheme = find_scheme(options.precision, options.block_size)
    found = find_source(source, revision=options.revision)
    architecture, identity = _read_small_files(found, options)
    needed = slots(architecture.spec)
    check_scheme(scheme, needed)
    values = _open_values(found, architecture)
    errors = RoundingErrors()
    weights = scheme_weights(scheme, needed, values, on_rounded=errors.add)
    with replacing(output) as folder:
        _write_graph(folder, architecture.spec, _counted(weights, progress), identity)
        manifest = complete_package(
            folder,
            identity,
            architecture.spec,
            scheme,
            documents=_documents(found.folder),
            quality=errors.figures(),
        )
        oracle_weights = dequantized(scheme_weights(scheme, needed, values))
        verify_package(folder, manifest, architecture.spec, oracle_weights)
    return manifest


def inspect_checkpoint(source: str, options: ExportOptions) -> Inspection:
    """Describe a folder or a Hugging Face id without reading, or fetching, a weight.

    Raises an ExportError where it could not be exported, as far as the small files tell.
    """
    found = find_source(source, revision=options.revision)
    architecture, identity = _read_small_files(found, options)
    return inspect(found, architecture, identity, block_size=options.block_size)


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


def _open_values(found: CheckpointSource, architecture: Architecture) -> Mapping[str, Float32]:
    checkpoint = open_checkpoint(found.fetch_weights())
    needed = slots(architecture.spec)
    aliases = {"head": "embedding"} if architecture.spec.tie_word_embeddings else {}
    names = architecture.family.used(checkpoint.tensors, architecture.spec)
    assigned = plan(architecture.family.rules, names, needed, aliases=aliases)
    values = slot_values(checkpoint, assigned, needed)
    check_copies(checkpoint, assigned)
    return values


def _write_graph(
    folder: Path, spec: DecoderSpec, weights: Mapping[str, Weight], identity: Identity
) -> None:
    with (folder / DATA_FILE).open("wb") as data:
        graph = GraphBuilder(data)
        build_decoder(graph, spec, weights, context_length=identity.context_length)
    graph.save(folder / MODEL_FILE)


def _counted(weights: Mapping[str, Weight], progress: Progress) -> Mapping[str, Weight]:
    order = {name: index for index, name in enumerate(weights)}
    return watched(weights, lambda name: progress(order[name], len(order)))
