"""Turn a checkpoint into a package: plan, write, gate.

Everything that can be refused is refused before the first weight is read, and nothing takes the
target's name before it was verified.
"""

from collections.abc import Callable
from pathlib import Path

from export.options import ExportOptions
from export.package.placing import check_output, replacing
from export.pipeline.gate import pass_gate
from export.pipeline.plan import plan_export
from export.pipeline.write import Progress, write_package
from inference.package.manifest import ModelManifest

Remark = Callable[[str], None]


def without_remark(line: str) -> None:
    """Leave it unsaid."""


def export_checkpoint(
    source: str,
    output: Path,
    options: ExportOptions,
    *,
    progress: Progress,
    remark: Remark = without_remark,
) -> ModelManifest:
    """Export a folder or a Hugging Face id to a package folder; return its manifest.

    `remark` is called with each line that says what was left out of what is stored, or decided
    otherwise than asked for.
    Raises an ExportError naming what was wrong; `output` is then as it was.
    """
    check_output(output)
    plan = plan_export(source, options)
    for line in plan.remarks:
        remark(line)
    with replacing(output) as folder:
        written = write_package(folder, plan, progress=progress)
        return pass_gate(folder, plan, written)
