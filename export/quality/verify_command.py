"""Measure a finished package again: alone, or against the checkpoint it was made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from export.errors import VerificationError
from export.original import open_original
from export.package.manifest import ignored_config
from export.quality.gate import Comparison, check_agreement, compare, measure_alone
from export.quality.holes import measure_fim
from export.quality.reader import open_reader
from export.texts import NUM_TOKENS, QUALITY_TEXT, WINDOW, read_text
from inference.package.manifest import (
    TOKENIZER_FILE,
    Device,
    ModelManifest,
    read_manifest,
    verify_files,
)
from inference.runtime.tokenizer import Tokenizer

MAX_DRIFT: Final = 0.02
"""How far the perplexity may lie from the manifest's, which keeps three digits of it; processors
differ by far less."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; `agreement` and the like are None without a checkpoint."""

    name: str
    tokens: int
    perplexity: float
    agreement: float | None = None
    divergence: float | None = None
    perplexity_ratio: float | None = None
    fim_bits_per_token: Mapping[str, float] | None = None


def check_package(
    folder: Path,
    *,
    against: str | None = None,
    num_tokens: int | None = None,
    limit: float | None = None,
    device: Device = "cpu",
) -> Verified:
    """Check hashes, load the package, and read as much of the shipped text as at export, or more.

    Raises QualityError where its next tokens are further from those of the checkpoint than the
    limit allows, VerificationError where its perplexity is not what its manifest says.
    """
    manifest = read_manifest(folder)
    verify_files(manifest, folder)
    window = min(WINDOW, manifest.context_length)
    tokenizer = Tokenizer.load(folder / TOKENIZER_FILE)
    num_tokens = num_tokens or int(manifest.quality.get("tokens", NUM_TOKENS))
    text = read_text(QUALITY_TEXT, tokenizer, num_tokens=num_tokens, window=window)
    holes = read_text(QUALITY_TEXT, tokenizer, num_tokens=NUM_TOKENS, window=window)
    with open_reader(folder, manifest, device=device) as reader:
        if against is None:
            measured = measure_alone(reader, text)
        else:
            original = open_original(against, ignored=ignored_config(manifest))
            measured = compare(reader, *original, text)
        fim = manifest.fim
        fim_bits = None if fim is None else measure_fim(reader, fim, holes).figures()
    if against is not None:
        check_agreement(manifest, measured, limit=limit)
    elif device == "cpu":  # which is what the manifest's figures were measured on
        _check_perplexity(manifest, measured, num_tokens=len(text.token_ids))
    verified = Verified(
        name=manifest.name,
        tokens=len(text.token_ids),
        perplexity=measured.perplexity,
        fim_bits_per_token=fim_bits,
    )
    return verified if against is None else msgspec.structs.replace(verified, **_figures(measured))


def _figures(measured: Comparison) -> dict[str, Any]:
    return {
        "agreement": measured.agreement,
        "divergence": measured.divergence,
        "perplexity_ratio": measured.perplexity_ratio,
    }


def _check_perplexity(manifest: ModelManifest, measured: Comparison, *, num_tokens: int) -> None:
    if manifest.quality.get("tokens") != num_tokens:
        return  # another text than the one that was read at export
    expected = float(manifest.quality["perplexity"])
    if abs(measured.perplexity / expected - 1) > MAX_DRIFT:
        raise VerificationError(
            f"the perplexity is {measured.perplexity:.4g} where the manifest says {expected:.4g}; "
            "report this with the versions of onnxruntime and the processor"
        )
