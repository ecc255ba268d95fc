"""Write what was planned, tensor by tensor: one graph for each device, and the manifest."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from export.checkpoint.gptq_awq import Grouping
from export.checkpoint.recognition import CONFIG_FILE
from export.checkpoint.tokens import CHAT_TEMPLATE_FILE, read_chat_template
from export.graph.builder import GraphBuilder
from export.graph.cuda import cuda_scheme, cuda_weights, slow_on_cuda, write_cuda_graph
from export.graph.data_file import DATA_FILE, DataFile, Place
from export.graph.decoder import build_decoder
from export.graph.predictor import hidden_read_by, predictor_weights, write_predictor_graph
from export.graph.targets import CUDA
from export.graph.weights import RoundingErrors, StoredBlocks, kept, scheme_weights, watched
from export.package.manifest import IGNORED_CONFIG, Decoders, complete_package
from export.pipeline.plan import ExportPlan
from export.quantization.blockwise import Weight
from export.quantization.moments import CalibrationMoments
from export.quantization.scheme import CALIBRATED, FindMoments, Scheme, no_moments
from export.quantization.sensitivity import raise_sensitive
from export.spec.decoder import DecoderSpec, is_small, slots
from inference.package.manifest import MODEL_FILE, TOKENIZER_FILE, ModelManifest

GGUF: Final = "gguf"

Progress = Callable[[int, int], None]
"""Called before each slot is written with its number from 0, and with how many there are."""


class Written(msgspec.Struct, frozen=True):
    """A package whose quality nobody knows yet, and the weights it should compute with.

    `of_predictor` are those of the predictor's graph, where it has one.
    """

    manifest: ModelManifest
    weights: Mapping[str, Weight]
    of_predictor: Mapping[str, Weight] | None = None


def write_package(folder: Path, plan: ExportPlan, *, progress: Progress) -> Written:
    """Fill a folder with graphs, weights, the checkpoint's documents and a manifest."""
    plan.opened.check_copies()
    scheme, original = _with_sensitive_raised(plan), plan.original
    spec, length = original.spec, original.identity.context_length
    errors, find_moments = RoundingErrors(), _find_moments(scheme, plan)
    weights = _rounded_weights(scheme, plan, find_moments, errors)
    predictor, has_cuda = plan.opened.predictor, plan.options.device == "cuda"
    # A second graph points at what the first one wrote.
    remembered: dict[bytes, Place] | None = {} if has_cuda or predictor is not None else None
    with (folder / DATA_FILE).open("wb") as data:
        graph = GraphBuilder(DataFile(data, remembered=remembered))
        counted = _counted(weights, progress)
        hidden = None if predictor is None else hidden_read_by(predictor.spec)
        build_decoder(graph, spec, counted, context_length=length, hidden=hidden)
    graph.save(folder / MODEL_FILE)
    ignored = plan.options.ignore_config
    quality: dict[str, Any] = {
        **({IGNORED_CONFIG: sorted(ignored)} if ignored else {}),
        **_scheme_figures(plan, scheme),
        **_stored_figures(plan.opened.stored, original.architecture.grouping),
        **errors.figures(),
    }
    of_predictor = _write_predictor(folder, plan, scheme, weights, remembered or {})
    if remembered is not None and has_cuda:
        again = cuda_weights(folder, spec, scheme, plan.opened.values, _find_moments(scheme, plan))
        counted = _counted(again, progress)
        write_cuda_graph(folder, spec, counted, remembered, context_length=length)
        quality["cuda"] = _cuda_figures(spec, scheme)
    documents = _documents(original.folder)
    decoders = Decoders(spec, None if predictor is None else predictor.spec)
    manifest = complete_package(
        folder, original.identity, decoders, scheme, documents=documents, quality=quality
    )
    return Written(manifest, weights, of_predictor)


def _write_predictor(
    folder: Path,
    plan: ExportPlan,
    scheme: Scheme,
    model: Mapping[str, Weight],
    known: Mapping[bytes, Place],
) -> Mapping[str, Weight] | None:
    """Write the graph that predicts, where the checkpoint has one; return its weights."""
    found = plan.opened.predictor
    if found is None:
        return None
    weights = predictor_weights(found.spec, scheme, found.values, found.stored.find, model)
    length = plan.original.identity.context_length
    write_predictor_graph(folder, found.spec, weights, known, context_length=length)
    return weights


def _with_sensitive_raised(plan: ExportPlan) -> Scheme:
    if plan.options.precision != "int4-quality":
        return plan.scheme
    text = plan.texts.for_sensitivity()
    raised = raise_sensitive(plan.scheme, plan.original.spec, plan.opened.values, text)
    return msgspec.structs.replace(plan.scheme, raised=raised)


def _rounded_weights(
    scheme: Scheme, plan: ExportPlan, find_moments: FindMoments, errors: RoundingErrors
) -> Mapping[str, Weight]:
    spec = plan.original.spec
    weights = scheme_weights(
        scheme,
        slots(spec),
        plan.opened.values,
        find_stored=plan.opened.stored.find,
        find_moments=find_moments,
        on_rounded=errors.add,
    )
    return kept(weights) if is_small(spec) else weights


def _find_moments(scheme: Scheme, plan: ExportPlan) -> FindMoments:
    if scheme.rounding not in CALIBRATED or not scheme.has_blocks:
        return no_moments
    only_squares = scheme.rounding == "weighted"
    spec, text = plan.original.spec, plan.texts.for_rounding(only_squares=only_squares)
    # Double where it is cheap: other processors then round the same way.
    dtype = np.float64 if is_small(spec) else np.float32
    moments = CalibrationMoments(
        spec, plan.opened.values, text, dtype=dtype, only_squares=only_squares
    )
    return moments.find


def _scheme_figures(plan: ExportPlan, scheme: Scheme) -> dict[str, Any]:
    if not scheme.has_blocks:
        return {}
    figures: dict[str, Any] = {
        "preset": plan.options.precision,
        "rounding": scheme.rounding,
        "zero_points": scheme.has_zero_points,
    }
    if scheme.raised:
        figures["raised_to_int8"] = sorted(scheme.raised)
    if scheme.coarse_head is not None:
        figures["coarse_head"] = scheme.coarse_head
    return figures


def _stored_figures(stored: StoredBlocks, grouping: Grouping | None) -> dict[str, Any]:
    """Say how many matrices were taken over as they are stored, and how many rounded again.

    Beside GPTQ and AWQ, whose config says so, only GGUF stores what is rounded.
    """
    if grouping is None and not stored.taken and not stored.rounded:
        return {}
    counts = {"taken_over": len(stored.taken), "rounded_again": len(stored.rounded)}
    return {"stored": {"as": GGUF if grouping is None else grouping.layout, **counts}}


def _cuda_figures(spec: DecoderSpec, scheme: Scheme) -> dict[str, Any]:
    found = cuda_scheme(scheme)
    blocks = {"dense_block_size": found.block_size_of("projection")} if found.has_blocks else {}
    slow = slow_on_cuda(spec)
    return {"activations": str(CUDA.activations), **blocks, **({"slow": slow} if slow else {})}


def _documents(folder: Path) -> dict[str, bytes]:
    """Return what the package keeps of the checkpoint as it is: data, none of which is run."""
    template = read_chat_template(folder)
    documents = {name: (folder / name).read_bytes() for name in (CONFIG_FILE, TOKENIZER_FILE)}
    return documents | ({} if template is None else {CHAT_TEMPLATE_FILE: template.encode()})


def _counted(weights: Mapping[str, Weight], progress: Progress) -> Mapping[str, Weight]:
    order = {name: index for index, name in enumerate(weights)}
    return watched(weights, lambda name: progress(order[name], len(order)))
