"""Measure what rounding costs: int8 and int4 packages against f32 on held-out code.

`python -m benchmarks.quality` exports one checkpoint three times and reads the same windows of
tokens through each package. It prints a table and, as its last line, one JSON object.

    perplexity   exp of the mean negative log-likelihood of the next token
    agreement    share of positions whose most likely token is that of f32
    divergence   mean Kullback-Leibler divergence from f32's distribution, in nats
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.report import print_json, print_report
from export.pipeline import ExportOptions, export_checkpoint
from inference.cancellation import CancelToken
from inference.manifest import TOKENIZER_FILE, Precision, read_manifest
from inference.model import Logits
from inference.runtime import OnnxModel
from inference.tokenizer import Tokenizer

ROOT: Final = Path(__file__).parent.parent
CHECKPOINT: Final = ROOT / "training" / "checkpoints" / "bootstrap"
PRECISIONS: Final[tuple[Precision, ...]] = ("f32", "int8", "int4")

Float64 = npt.NDArray[np.float64]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    model: OnnxModel
    num_bytes: int


class Quality(msgspec.Struct, kw_only=True):
    """Sums over positions, to be divided by their number."""

    num_bytes: int
    num_positions: int = 0
    negative_log_likelihood: float = 0.0
    num_equal: int = 0
    divergence: float = 0.0

    def figures(self, baseline: "Quality") -> dict[str, float]:
        return {
            "megabytes": round(self.num_bytes / 1e6, 2),
            "perplexity": round(self.perplexity, 3),
            "perplexity_ratio": round(self.perplexity / baseline.perplexity, 4),
            "agreement": round(self.num_equal / self.num_positions, 4),
            "divergence": round(self.divergence / self.num_positions, 5),
        }

    @property
    def perplexity(self) -> float:
        return float(np.exp(self.negative_log_likelihood / self.num_positions))


@click.command()
@click.option("--checkpoint", default=str(CHECKPOINT), show_default=True)
@click.option("--tokens", default=20_000, show_default=True, help="Tokens of code to read.")
@click.option("--window", default=480, show_default=True, help="Tokens read together.")
@click.option("--block-size", default=128, show_default=True)
def main(checkpoint: str, tokens: int, window: int, block_size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        packages: dict[Precision, Package] = {
            precision: export_and_load(checkpoint, Path(folder), precision, block_size)
            for precision in PRECISIONS
        }
        tokenizer = Tokenizer.load(Path(folder) / PRECISIONS[0] / TOKENIZER_FILE)
        end_token = read_manifest(Path(folder) / PRECISIONS[0]).eos_token_ids[0]
        windows = list(held_out_windows(tokenizer, end_token, tokens, window))
        measured = measure(packages, windows)
    baseline = measured["f32"]
    figures: dict[Precision, dict[str, float]] = {
        name: quality.figures(baseline) for name, quality in measured.items()
    }
    rows = {name: [str(value) for value in values.values()] for name, values in figures.items()}
    num_tokens = sum(map(len, windows))
    print_report(f"{num_tokens} tokens of held-out code", list(figures["f32"]), rows)
    print_json("quality", {"tokens": num_tokens, "window": window, "precisions": figures})


def export_and_load(
    checkpoint: str, folder: Path, precision: Precision, block_size: int
) -> Package:
    options = ExportOptions(precision=precision, block_size=block_size)
    output = folder / precision
    manifest = export_checkpoint(checkpoint, output, options, progress=lambda done, total: None)
    return Package(
        model=OnnxModel.load(output, manifest),
        num_bytes=sum(entry.size for entry in manifest.files.values()),
    )


def held_out_windows(
    tokenizer: Tokenizer, end_token: int, num_tokens: int, window: int
) -> Iterator[list[int]]:
    """Cut code that no model of ours was trained on into windows, `num_tokens` in all."""
    token_ids: list[int] = []
    for path in held_out_files():
        token_ids += [*tokenizer.encode(path.read_text(encoding="utf-8")), end_token]
        if len(token_ids) >= num_tokens:
            break
    token_ids = token_ids[:num_tokens]
    for start in range(0, len(token_ids) - 1, window):
        yield token_ids[start : start + window]


def held_out_files() -> Iterator[Path]:
    """Alternate between this repository, pygls and click."""
    folders = [ROOT / "inference", package_folder("pygls"), package_folder("click")]
    files = [sorted(folder.rglob("*.py")) for folder in folders]
    return (path for path in chain.from_iterable(zip_longest(*files)) if path is not None)


def package_folder(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def measure(
    packages: Mapping[Precision, Package], windows: Sequence[Sequence[int]]
) -> dict[Precision, Quality]:
    """Read every window with every package; the first of them is what the others are held to."""
    measured: dict[Precision, Quality] = {
        name: Quality(num_bytes=part.num_bytes) for name, part in packages.items()
    }
    for window in windows:
        baseline = log_probabilities(packages[PRECISIONS[0]].model, window)
        for name, package in packages.items():
            is_baseline = name == PRECISIONS[0]
            found = baseline if is_baseline else log_probabilities(package.model, window)
            add_window(measured[name], window, found, baseline)
    return measured


def log_probabilities(model: OnnxModel, token_ids: Sequence[int]) -> Float64:
    """Return the log-probabilities after each token, [num_tokens, vocab_size]."""
    logits: Logits = model.forward(
        token_ids, model.create_cache(), num_logits=len(token_ids), cancel=CancelToken()
    )
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def add_window(
    quality: Quality, token_ids: Sequence[int], found: Float64, baseline: Float64
) -> None:
    found, baseline = found[:-1], baseline[:-1]
    rows = np.arange(len(found))
    quality.num_positions += len(found)
    quality.negative_log_likelihood -= float(found[rows, token_ids[1:]].sum())
    quality.num_equal += int((found.argmax(axis=1) == baseline.argmax(axis=1)).sum())
    quality.divergence += float((np.exp(baseline) * (baseline - found)).sum())


if __name__ == "__main__":
    main()
