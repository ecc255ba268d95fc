"""Complete a folder that holds a graph to a package: the checkpoint's documents, the manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from export.graph.data_file import CUDA_DATA_FILE, DATA_FILE, PREDICTOR_DATA_FILE
from export.quantization.scheme import Scheme
from export.spec.decoder import (
    Attention,
    CachedAttention,
    DecoderSpec,
    GroupedQuery,
    Latent,
    SparseMoE,
    num_active_parameters,
    num_parameters,
    window_of,
)
from export.spec.recurrence import GatedDelta, Recurrence, ShortConvolution, StateSpace
from inference.chat import ChatTemplate
from inference.fim import FimTemplate
from inference.package.manifest import (
    CUDA_MODEL_FILE,
    MODEL_FILE,
    PREDICTOR_FILE,
    TOKENIZER_FILE,
    Architecture,
    CacheKind,
    Full,
    Heads,
    ModelManifest,
    Parameters,
    Recurrent,
    Source,
    Windowed,
    file_entry,
    write_manifest,
)

EXPORTER_VERSION: Final = "9"
"""Raised whenever the same checkpoint would give other bytes."""

IGNORED_CONFIG: Final = "ignored_config"
"""What `quality` calls the keys that were passed over on the user's word."""

GRAPH_AND_DATA_FILES: Final = (
    *(MODEL_FILE, DATA_FILE),
    *(CUDA_MODEL_FILE, CUDA_DATA_FILE),
    *(PREDICTOR_FILE, PREDICTOR_DATA_FILE),
)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a package says of itself beside what its spec and scheme say."""

    name: str
    source: Source
    model_type: str
    context_length: int
    eos_token_ids: tuple[int, ...]
    fim: FimTemplate | None
    leading_token_ids: tuple[int, ...]
    chat: ChatTemplate | None = None


class Decoders(msgspec.Struct, frozen=True):
    """What the graphs of a package compute: the model, and the predictor where there is one."""

    model: DecoderSpec
    predictor: DecoderSpec | None = None


def ignored_config(manifest: ModelManifest) -> tuple[str, ...]:
    """Return the keys of its checkpoint's config that the user said change nothing."""
    return tuple(manifest.quality.get(IGNORED_CONFIG, ()))


def complete_package(
    folder: Path,
    identity: Identity,
    decoders: Decoders,
    scheme: Scheme,
    *,
    documents: Mapping[str, bytes],
    quality: Mapping[str, Any],
) -> ModelManifest:
    """Add documents and manifest to a folder that holds the graphs; return the manifest.

    `documents` are the checkpoint's own files by the names they get, the tokenizer among them.
    """
    spec = decoders.model
    assert TOKENIZER_FILE in documents
    present = {path.name for path in folder.iterdir()}
    graphs = [name for name in GRAPH_AND_DATA_FILES if name in present]
    for name, content in documents.items():
        (folder / name).write_bytes(content)
    manifest = ModelManifest(
        name=identity.name,
        source=identity.source,
        exporter_version=EXPORTER_VERSION,
        precision=scheme.precision,
        block_size=scheme.block_size if scheme.has_blocks else None,
        architecture=describe(identity.model_type, spec, decoders.predictor),
        parameters=Parameters(total=num_parameters(spec), active=num_active_parameters(spec)),
        context_length=identity.context_length,
        eos_token_ids=identity.eos_token_ids,
        fim=identity.fim,
        chat=identity.chat,
        leading_token_ids=identity.leading_token_ids,
        files={name: file_entry(folder / name) for name in (*graphs, *documents)},
        quality=dict(quality),
    )
    write_manifest(manifest, folder)
    return manifest


def describe(
    model_type: str, spec: DecoderSpec, predictor: DecoderSpec | None = None
) -> Architecture:
    """Return the figures of a spec that the engine and people want."""
    attention = next(
        layer.attention for layer in spec.layers if not isinstance(layer.attention, Recurrence)
    )
    sparse = [layer.feed_forward for layer in spec.layers]
    experts = [part for part in sparse if isinstance(part, SparseMoE)]
    return Architecture(
        model_type=model_type,
        vocab_size=spec.vocab_size,
        hidden_size=spec.hidden_size,
        num_hidden_layers=len(spec.layers),
        num_attention_heads=attention.num_attention_heads,
        num_key_value_heads=attention.num_key_value_heads,
        head_dim=attention.head_dim,
        num_experts=max((part.num_experts for part in experts), default=0),
        num_experts_per_tok=max((part.router.num_experts_per_tok for part in experts), default=0),
        cache_kinds=_cache_kinds(spec),
        predictor=(
            None
            if predictor is None
            else _cache_kind(predictor.layers[0].attention, _usual_heads(spec))
        ),
    )


def _usual_heads(spec: DecoderSpec) -> Heads:
    cached = (layer.attention for layer in spec.layers)
    return next(_heads(part) for part in cached if not isinstance(part, Recurrence))


def _cache_kinds(spec: DecoderSpec) -> tuple[CacheKind, ...]:
    usual = _usual_heads(spec)
    kinds = tuple(_cache_kind(layer.attention, usual) for layer in spec.layers)
    return () if all(kind == Full() for kind in kinds) else kinds


def _heads(attention: CachedAttention) -> Heads:
    return Heads(attention.num_key_value_heads, attention.head_dim)


def _cache_kind(attention: Attention, usual: Heads) -> CacheKind:
    match attention:
        case GatedDelta() | StateSpace():
            return Recurrent(
                kernel_size=attention.kernel_size,
                num_channels=attention.num_channels,
                num_heads=attention.num_value_heads,
                key_head_dim=attention.key_head_dim,
                value_head_dim=attention.value_head_dim,
            )
        case ShortConvolution(num_channels=size, kernel_size=kernel_size):
            return Recurrent(kernel_size=kernel_size, num_channels=size)
        case GroupedQuery() | Latent():
            window, heads = window_of(attention), _heads(attention)
            other = None if heads == usual else heads
            return Full(other) if window is None else Windowed(window, other)
