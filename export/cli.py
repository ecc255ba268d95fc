"""`inkling export`: arguments in, a package and one line about it out."""

import contextlib
import signal
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from types import FrameType
from typing import TypedDict, Unpack, get_args

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from export.errors import QualityError
from export.inspection import in_words, inspect_checkpoint
from export.options import ExportOptions
from export.package.fim_conventions import AUTOMATIC, NAMES, NONE, Layout
from export.package.to_checkpoint import StoredType, write_checkpoint
from export.pipeline import export_checkpoint
from export.quality.verify_command import Verified, check_package
from export.quantization.scheme import (
    BITS,
    BLOCK_SIZES,
    HEADS,
    ROUNDINGS,
    Head,
    Preset,
    Rounding,
)
from inference.package.manifest import Device, ModelManifest


class Options(TypedDict):
    """The command's options as ExportOptions spells them."""

    precision: Preset
    device: Device
    block_size: int | None
    fim: str
    rounding: Rounding | None
    zero_points: bool | None
    head: Head | None
    calibration: Path | None
    quality_limit: float | None
    accept_quality: bool
    fim_order: Layout | None
    context_length: int | None
    name: str | None
    revision: str | None
    ignore_config: tuple[str, ...]


@click.command()
@click.argument("source")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Package folder.")
@click.option(
    "--inspect",
    "action",
    flag_value="inspect",
    help="Only tell what SOURCE is and what a package of it would cost; no weight is read.",
)
@click.option(
    "--to-checkpoint",
    "action",
    flag_value="to-checkpoint",
    help="Write the weights of the package SOURCE as a Hugging Face checkpoint to FOLDER.",
)
@click.option(
    "--dtype",
    default="f32",
    show_default=True,
    type=click.Choice(get_args(StoredType)),
    help="With --to-checkpoint: what the weights are written as; f32 is exact.",
)
@click.option("--json", "is_json", is_flag=True, help="With --inspect: print JSON.")
@click.option("--revision", help="Branch, tag or commit of a Hugging Face id; default main.")
@click.option("--precision", default="int4", show_default=True, type=click.Choice(list(BITS)))
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    type=click.Choice(get_args(Device)),
    help="cuda adds a graph in float16 for NVIDIA GPUs; the package then serves both.",
)
@click.option(
    "--block-size",
    type=int,
    metavar="|".join(map(str, BLOCK_SIZES)),
    help="Weights that share one scale; smaller is more exact and larger on disk. Default 128, "
    "or what is stored rounded; a smaller one where that does not divide the model's rows.",
)
@click.option(
    "--fim",
    default=AUTOMATIC,
    show_default=True,
    type=click.Choice([AUTOMATIC, *NAMES, NONE]),
    help="Whose spelling of holes the model was trained on.",
)
@click.option(
    "--rounding",
    type=click.Choice(ROUNDINGS),
    help="weighted and gptq read calibration text, and gptq takes minutes; the others look at the "
    "weights alone. Default gptq up to 250M parameters, else weighted.",
)
@click.option(
    "--zero-points/--no-zero-points",
    default=None,
    help="Let 4-bit blocks lie off the middle; CPU only. Default for more than 250M parameters.",
)
@click.option(
    "--head",
    type=click.Choice(HEADS),
    help="whole multiplies all of it in 8 bits; refined finds the best tokens in 4 bits and scores "
    "them again in 8. Default refined for more than 250M parameters.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Text for weighted, gptq and int4-quality; default code that comes with Inkling.",
)
@click.option(
    "--quality-limit",
    type=click.FloatRange(0, 1),
    help="Least share of next tokens equal to the original's; int8: 0.95, int4: 0.80.",
)
@click.option("--accept-quality", is_flag=True, help="Export whatever share is measured.")
@click.option(
    "--fim-order",
    type=click.Choice(get_args(Layout)),
    help="How a hole is shown; default what the model finds holes easiest in, which is measured.",
)
@click.option("--context-length", type=int, help="Most tokens; default the model's, up to 32768.")
@click.option(
    "--ignore-config",
    multiple=True,
    metavar="KEY",
    help="A key of config.json that Inkling does not know and you know to change nothing; may be "
    "given again.",
)
@click.option("--name", help="What the package calls itself; default the source's name.")
def export(
    source: str,
    folder: Path | None,
    output: Path | None,
    *,
    action: str | None,
    is_json: bool,
    dtype: StoredType,
    **options: Unpack[Options],
) -> None:
    """Turn a checkpoint into a quantized model package.

    SOURCE is a folder with config.json and *.safetensors, a GGUF file, ollama:NAME[:TAG] for what
    Ollama has pulled, or a Hugging Face id such as owner/name.
    """
    if action == "inspect":
        click.echo(_inspection(source, ExportOptions(**options), is_json=is_json))
        return
    if action == "to-checkpoint":
        click.echo(_way_back(source, folder, dtype))
        return
    if folder is not None:
        raise click.UsageError(f"Got unexpected extra argument ({folder}).")
    if output is None:
        raise click.UsageError("Missing option '--output' / '-o'.")
    start = time.perf_counter()
    with _unwound_by_sigterm(), _figures_of_a_refusal():
        manifest = _export_with_progress(source, output, ExportOptions(**options))
    click.echo(_summary(manifest, output, seconds=time.perf_counter() - start))


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.option("--against", metavar="CHECKPOINT", help="What it was made from: a folder or hub id.")
@click.option("--tokens", type=int, help="How much text is read; default as much as at export.")
@click.option("--quality-limit", type=click.FloatRange(0, 1), help="As for export.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(get_args(Device)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(
    package: Path,
    *,
    against: str | None,
    tokens: int | None,
    quality_limit: float | None,
    device: Device,
    as_json: bool,
) -> None:
    """Check a package's files and measure its quality again.

    Without a checkpoint its perplexity is compared with what its manifest says; with one, its next
    tokens with the checkpoint's.
    """
    with _figures_of_a_refusal():
        verified = check_package(
            package, against=against, num_tokens=tokens, limit=quality_limit, device=device
        )
    if as_json:
        click.echo(msgspec.json.encode(verified).decode())
        return
    Console().print(_table(verified))


@contextlib.contextmanager
def _figures_of_a_refusal() -> Generator[None]:
    """Show what was measured before the error that says what to do."""
    try:
        yield
    except QualityError as error:
        Console(stderr=True).print(_refusal(error.figures))
        raise


def _refusal(figures: Mapping[str, float]) -> Table:
    table = Table("", "measured", "limit or original", title="refused for its quality")
    perplexity, ratio = figures["perplexity"], figures["perplexity_ratio"]
    limit = f"at least {figures['limit']:.1%}"
    table.add_row("next tokens equal to the original's", f"{figures['agreement']:.1%}", limit)
    table.add_row("divergence from the original, nats", f"{figures['divergence']:.4f}", "0")
    table.add_row("perplexity", f"{perplexity:.2f}", f"{perplexity / ratio:.2f}")
    table.add_row("perplexity over the original's", f"{ratio:.3f}", "1")
    return table


def _table(verified: Verified) -> Table:
    table = Table(title=f"{verified.name} on {verified.tokens} tokens of code", show_header=False)
    figures = {
        "next tokens equal to the original's": _cell(verified.agreement, ".1%"),
        "divergence from the original, nats": _cell(verified.divergence, ".4f"),
        "perplexity": _cell(verified.perplexity, ".2f"),
        "perplexity over the original's": _cell(verified.perplexity_ratio, ".3f"),
    }
    for name, bits in (verified.fim_bits_per_token or {}).items():
        figures[f"bits a token in holes, {name}"] = _cell(bits, ".1f")
    for name, cell in figures.items():
        table.add_row(name, cell)
    return table


def _cell(value: float | None, form: str) -> str:
    return "not measured" if value is None else format(value, form)


def _inspection(source: str, options: ExportOptions, *, is_json: bool) -> str:
    found = inspect_checkpoint(source, options)
    return msgspec.json.format(msgspec.json.encode(found)).decode() if is_json else in_words(found)


def _way_back(package: str, folder: Path | None, dtype: StoredType) -> str:
    if folder is None:
        raise click.UsageError("Missing argument 'FOLDER'.")
    with _unwound_by_sigterm():
        num_tensors = write_checkpoint(Path(package), folder, dtype=dtype)
    return f"{folder}: {num_tensors} tensors of {dtype}"


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

        def say(line: str) -> None:
            bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

        return export_checkpoint(source, output, options, progress=show, remark=say)


def _summary(manifest: ModelManifest, output: Path, *, seconds: float) -> str:
    parameters = manifest.parameters
    slow = manifest.quality.get("cuda", {}).get("slow")
    return (
        f"{output}: {manifest.name}, {manifest.precision} for {' and '.join(manifest.devices)}, "
        f"{manifest.num_bytes / 1e6:.1f} MB, "
        f"{parameters.total / 1e6:.1f}M parameters ({parameters.active / 1e6:.1f}M active), "
        f"{_taken_over(manifest)}"
        f"{_holes(manifest)}"
        f"{manifest.quality['agreement']:.0%} of next tokens as the original's, {seconds:.1f} s"
    ) + (f"\non cuda: {slow}" if slow else "")


def _holes(manifest: ModelManifest) -> str:
    fim = manifest.fim
    return "no holes, " if fim is None else f"holes as {fim.convention} in {fim.order} order, "


def _taken_over(manifest: ModelManifest) -> str:
    stored = manifest.quality.get("stored")
    if stored is None:
        return ""
    return (
        f"{stored['taken_over']} {stored['as']} matrices taken over as they are and "
        f"{stored['rounded_again']} rounded again, "
    )
