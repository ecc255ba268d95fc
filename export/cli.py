"""`inkling export`: arguments in, a package and one line about it out."""

import contextlib
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import TypedDict, Unpack, get_args

import click
from rich.console import Console
from rich.progress import Progress

from export.conventions import AUTOMATIC, NAMES, NONE
from export.pipeline import ExportOptions, export_checkpoint
from export.quantization.scheme import BITS, BLOCK_SIZES
from inference.fim import FimOrder
from inference.manifest import ModelManifest, Precision


class Options(TypedDict):
    """The command's options as ExportOptions spells them."""

    precision: Precision
    block_size: int
    fim: str
    fim_order: FimOrder | None
    context_length: int | None
    name: str | None


@click.command()
@click.argument("source")
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), help="Package folder."
)
@click.option("--precision", default="int4", show_default=True, type=click.Choice(list(BITS)))
@click.option(
    "--block-size",
    default=128,
    show_default=True,
    type=int,
    metavar="|".join(map(str, BLOCK_SIZES)),
    help="Weights that share one scale; smaller is more exact and larger on disk.",
)
@click.option(
    "--fim",
    default=AUTOMATIC,
    show_default=True,
    type=click.Choice([AUTOMATIC, *NAMES, NONE]),
    help="Whose spelling of holes the model was trained on.",
)
@click.option(
    "--fim-order",
    type=click.Choice(get_args(FimOrder)),
    help="How the model was trained to see a hole; default the usual order of its convention.",
)
@click.option("--context-length", type=int, help="Most tokens; default the model's, up to 32768.")
@click.option("--name", help="What the package calls itself; default the source's name.")
def export(source: str, output: Path, **options: Unpack[Options]) -> None:
    """Turn a checkpoint into a quantized model package.

    SOURCE is a folder with config.json and *.safetensors, or a Hugging Face id such as owner/name.
    """
    start = time.perf_counter()
    with _unwound_by_sigterm():
        manifest = _export_with_progress(source, output, ExportOptions(**options))
    click.echo(_summary(manifest, output, seconds=time.perf_counter() - start))


@contextlib.contextmanager
def _unwound_by_sigterm() -> Generator[None]:
    """Remove the unfinished package before SIGTERM ends us; the default handler would not."""

    def leave(signal_number: int, _: FrameType | None) -> None:
        sys.exit(128 + signal_number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _export_with_progress(source: str, output: Path, options: ExportOptions) -> ModelManifest:
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, description="writing", completed=done, total=total)

        return export_checkpoint(source, output, options, progress=show)


def _summary(manifest: ModelManifest, output: Path, *, seconds: float) -> str:
    size = sum(entry.size for entry in manifest.files.values()) / 1e6
    parameters = manifest.parameters
    return (
        f"{output}: {manifest.name}, {manifest.precision}, {size:.1f} MB, "
        f"{parameters.total / 1e6:.1f}M parameters ({parameters.active / 1e6:.1f}M active), "
        f"{seconds:.1f} s"
    )
