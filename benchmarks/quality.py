"""Measure what rounding costs: precisions, methods and blocks against the original on code.

`python -m benchmarks.quality` exports one checkpoint again and again and reads the same windows of
tokens through each package and through the original. It prints a table and, as its last line, one
JSON object; `--write` puts the table into docs/quantization.md.

    perplexity   exp of the mean negative log-likelihood of the next token
    agreement    share of positions whose most likely token is the original's
    divergence   mean Kullback-Leibler divergence from the original's distribution, in nats
    minutes      from checkpoint to package, with the check that every export ends with
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import click
import msgspec

from benchmarks.report import print_json, print_report, write_table
from export.options import ExportOptions
from export.original import open_original
from export.pipeline import export_checkpoint
from export.quality.gate import compare
from export.quality.reader import open_reader
from export.quantization.scheme import Rounding
from export.texts import Text
from inference.package.manifest import TOKENIZER_FILE, read_manifest
from inference.runtime.tokenizer import Tokenizer
from tests.support.shipped import shipped_checkpoint

ROOT: Final = Path(__file__).parent.parent
DOCUMENT: Final = ROOT / "docs" / "quantization.md"
COMMAND: Final = "python -m benchmarks.quality --write"

BLOCK_SIZES: Final = (128, 64, 32)
WAYS: Final[tuple[Rounding, ...]] = ("nearest", "half-quadratic", "gptq")
VARIANTS: Final[Mapping[str, ExportOptions]] = {
    "int8, nearest, 128": ExportOptions(precision="int8", rounding="nearest"),
    **{
        f"int4, {rounding}, {block_size}{', zero points' if zero_points else ''}": ExportOptions(
            rounding=rounding, block_size=block_size, zero_points=zero_points
        )
        for rounding in WAYS
        for block_size in BLOCK_SIZES
        for zero_points in (False, True)
    },
    "int4-quality, nearest, 128": ExportOptions(precision="int4-quality", rounding="nearest"),
    "int4-quality, gptq, 128": ExportOptions(precision="int4-quality", rounding="gptq"),
}

WINDOW: Final = 480
HELD_OUT_PACKAGES: Final = ("attr", "cattrs", "markdown_it")
"""Installed beside Inkling, each under the MIT licence. None is in the texts that exporting reads,
nor in training/corpus.toml."""

Figures = Mapping[str, float]


@click.command()
@click.option("--checkpoint", default=None, help="Default the one that ships.")
@click.option("--tokens", default=20_000, show_default=True, help="Tokens of code to read.")
@click.option("--window", default=WINDOW, show_default=True, help="Tokens read together.")
@click.option("--only", default="", help="Measure only variants that contain this.")
@click.option("--write", is_flag=True, help="Put the table into docs/quantization.md.")
def main(checkpoint: str | None, tokens: int, window: int, only: str, write: bool) -> None:
    checkpoint = checkpoint or str(shipped_checkpoint())
    measured: dict[str, Figures] = {}
    for name, options in VARIANTS.items():
        if only in name:
            measured[name] = measure(checkpoint, options, num_tokens=tokens, window=window)
    columns = list(next(iter(measured.values())))
    rows = {name: [str(value) for value in values.values()] for name, values in measured.items()}
    print_report(f"{tokens} tokens of held-out code", columns, rows)
    if write:
        title = f"Checkpoint `{Path(checkpoint).name}`, {tokens} tokens of held-out code."
        write_table(DOCUMENT, COMMAND, title, columns, rows)
    print_json("quality", {"tokens": tokens, "window": window, "variants": measured})


def measure(checkpoint: str, options: ExportOptions, *, num_tokens: int, window: int) -> Figures:
    """Export one variant, whatever its quality, and compare it with the original."""
    options = msgspec.structs.replace(options, accept_quality=True)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package"
        start = time.perf_counter()
        manifest = export_checkpoint(
            checkpoint, package, options, progress=lambda done, total: None
        )
        minutes = (time.perf_counter() - start) / 60
        tokenizer = Tokenizer.load(package / TOKENIZER_FILE)
        end_token = read_manifest(package).eos_token_ids[0]
        text = held_out_text(tokenizer, end_token, num_tokens, window)
        with open_reader(package, manifest) as reader:
            comparison = compare(reader, *open_original(checkpoint), text)
    return {
        "megabytes": round(manifest.num_bytes / 1e6, 2),
        "perplexity": round(comparison.perplexity, 2),
        "perplexity_ratio": round(comparison.perplexity_ratio, 4),
        "agreement": round(comparison.agreement, 4),
        "divergence": round(comparison.divergence, 5),
        "minutes": round(minutes, 1),
    }


def held_out_text(tokenizer: Tokenizer, end_token: int, num_tokens: int, window: int) -> Text:
    """Cut code that no calibration has read into whole windows, `num_tokens` at most."""
    token_ids: list[int] = []
    for path in held_out_files():
        text = path.read_text(encoding="utf-8")
        token_ids += [*tokenizer.encode(text, is_beginning=True), end_token]
        if len(token_ids) >= num_tokens:
            break
    num_whole = min(num_tokens, len(token_ids)) // window * window
    return Text(token_ids=tuple(token_ids[:num_whole]), window=window)


def held_out_files() -> Iterator[Path]:
    """Alternate between the packages."""
    files = [sorted(package_folder(name).rglob("*.py")) for name in HELD_OUT_PACKAGES]
    return (path for path in chain.from_iterable(zip_longest(*files)) if path is not None)


def package_folder(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


if __name__ == "__main__":
    main()
