"""Measure what was written, and keep it or throw it away."""

from pathlib import Path

import msgspec

from export.graph.weights import dequantized
from export.pipeline.plan import ExportPlan
from export.pipeline.write import Written
from export.quality.gate import check_agreement, compare, manifest_figures
from export.quality.holes import better_template, measure_fim
from export.quality.reader import Reader, open_reader
from export.quality.self_check import verify_package, verify_predictor
from export.spec.decoder import is_small
from inference.fim import FimTemplate
from inference.package.manifest import ModelManifest, write_manifest


def pass_gate(folder: Path, plan: ExportPlan, written: Written) -> ModelManifest:
    """Return the manifest with what was measured, which the package then has too.

    The original is the checkpoint in float32: what a rounded one stands for, where it is rounded.
    Raises VerificationError where the graph computes something else than its weights say,
    QualityError where rounding lost too much.
    """
    manifest, spec = written.manifest, plan.original.spec
    verify_package(folder, manifest, spec, dequantized(written.weights))
    if plan.opened.predictor is not None and written.of_predictor is not None:
        of_predictor = dequantized(written.of_predictor)
        verify_predictor(folder, manifest, plan.opened.predictor.spec, of_predictor)
    text = plan.texts.for_quality()
    with open_reader(folder, manifest) as reader:
        comparison = compare(reader, spec, plan.opened.values, text)
        fim, fim_bits = _with_measured_order(reader, manifest.fim, plan)
    if not plan.options.accept_quality:
        check_agreement(manifest, comparison, limit=plan.options.quality_limit)
    figures = manifest_figures(comparison, fim_bits, num_tokens=len(text.token_ids))
    quality = manifest.quality | figures
    manifest = msgspec.structs.replace(manifest, fim=fim, quality=quality)
    write_manifest(manifest, folder)
    return manifest


def _with_measured_order(
    reader: Reader, fim: FimTemplate | None, plan: ExportPlan
) -> tuple[FimTemplate | None, dict[str, float] | None]:
    """Return the better template and order, unless the user named them, and the bits of each.

    Reading holes in all orders takes as long as all else here, so it is left out of a large model
    whose order is known.
    """
    is_known = plan.options.fim_order is not None
    if fim is None or (is_known and not is_small(plan.original.spec)):
        return fim, None
    text = plan.texts.for_holes()
    rivals = plan.original.fim_rivals
    measured = measure_fim(reader, fim, text, rivals)
    if not is_known:
        fim = better_template(reader, fim, text, measured, rivals)
    return fim, measured.figures()
