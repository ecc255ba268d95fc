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
import msgspec
from rich.console import Console
from rich.progress import Progress

from export.conventions import AUTOMATIC, NAMES, NONE
from export.inspection import in_words
from export.pipeline import ExportOptions, export_checkpoint, inspect_checkpoint
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
    revision: str | None


@click.command()
@click.argument("source")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Package folder.")
@click.option(
    "--inspect",
    "is_inspection",
    is_flag=True,
    help="Only tell what SOURCE is and what a package of it would cost; no weight is read.",
)
@click.option("--json", "is_json", is_flag=True, help="With --inspect: print JSON.")
@click.option("--revision", help="Branch, tag or commit of a Hugging Face id; default main.")
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
def export(
    source: str,
    output: Path | None,
    *,
    is_inspection: bool,
    is_json: bool,
    **options: Unpack[Options],
) -> None:
    """Turn a checkpoint into a quantized model package.

    SOURCE is a folder with config.json and *.safetensors, or a Hugging Face id such as owner/name.
    """
    if is_inspection:
        inspection = inspect_checkpoint(source, ExportOptions(**options))
        encoded = msgspec.json.format(msgspec.json.encode(inspection)).decode()
        click.echo(encoded if is_json else in_words(inspection))
        return
    if output is None:
        raise click.UsageError("Missing option '--output' / '-o'.")
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
