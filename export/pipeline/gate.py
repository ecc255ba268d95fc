"""Measure what was written, and keep it or throw it away."""

from pathlib import Path

import msgspec

from export.graph.weights import dequantized
from export.pipeline.plan import ExportPlan
from export.pipeline.write import Written
from export.quality.gate import check_agreement, compare, manifest_figures, measure_fim
from export.quality.reader import open_reader
from export.quality.self_check import verify_package
from inference.package.manifest import ModelManifest, write_manifest


def pass_gate(folder: Path, plan: ExportPlan, written: Written) -> ModelManifest:
    """Return the manifest with what was measured, which the package then has too.

    Raises VerificationError where the graph computes something else than its weights say,
    QualityError where rounding lost too much.
    """
    manifest, spec = written.manifest, plan.original.spec
    verify_package(folder, manifest, spec, dequantized(written.weights))
    text = plan.texts.for_quality()
    with open_reader(folder, manifest) as reader:
        comparison = compare(reader, spec, plan.opened.values, text)
        fim_bits = None if manifest.fim is None else measure_fim(reader, manifest.fim, text)
    if not plan.options.accept_quality:
        check_agreement(manifest, comparison, limit=plan.options.quality_limit)
    figures = manifest_figures(comparison, fim_bits, num_tokens=len(text.token_ids))
    manifest = msgspec.structs.replace(manifest, quality=manifest.quality | figures)
    write_manifest(manifest, folder)
    return manifest
