"""quality: figures are what they say, and a package below the limit is refused with a remedy."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from export.errors import QualityError, UnsupportedError, VerificationError
from export.pipeline import export_checkpoint
from export.quality.gate import Comparison
from export.quality.verify_command import check_package
from export.texts import QUALITY_TEXT, ROUNDING_TEXT, read_text
from inference.decoding.probabilities import log_probabilities
from inference.package.manifest import TOKENIZER_FILE, read_manifest, write_manifest
from inference.runtime.tokenizer import Tokenizer
from tests.support.exported import Array, no_progress, tiny_options
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_tiny_checkpoint(tmp_path / "tiny")


def compared(found: Array, original: Array, token_ids: list[int]) -> Comparison:
    comparison = Comparison()
    before = [log_probabilities(rows)[:-1] for rows in (found, original)]
    comparison.add(token_ids[1:], *before)
    return comparison


def logits(*rows: list[float]) -> Array:
    return np.log(np.array(rows))


def test_agreement_counts_equal_next_tokens() -> None:
    found = logits([0.7, 0.3], [0.2, 0.8], [0.5, 0.5])
    original = logits([0.6, 0.4], [0.9, 0.1], [0.5, 0.5])
    assert compared(found, original, [0, 1, 1]).agreement == 0.5


def test_divergence_is_in_nats() -> None:
    found, original = logits([0.5, 0.5], [1, 1]), logits([0.25, 0.75], [1, 1])
    expected = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    assert compared(found, original, [0, 1]).divergence == pytest.approx(expected)


def test_perplexity_is_that_of_the_token_that_follows() -> None:
    found, original = logits([0.25, 0.75], [1, 1]), logits([0.5, 0.5], [1, 1])
    comparison = compared(found, original, [1, 0])
    assert comparison.perplexity == pytest.approx(4)
    assert comparison.perplexity_ratio == pytest.approx(2)


def test_the_shipped_texts_are_long_enough(checkpoint: Path) -> None:
    tokenizer = Tokenizer.load(checkpoint / TOKENIZER_FILE)
    for path in (QUALITY_TEXT, ROUNDING_TEXT):
        text = read_text(path, tokenizer, num_tokens=4096, window=256)
        assert [len(window) for window in text.windows()] == [256] * 16


def test_a_text_that_is_too_short(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("x = 1", "utf-8")
    tokenizer = Tokenizer.load(checkpoint / TOKENIZER_FILE)
    with pytest.raises(UnsupportedError, match="has 5 tokens, not 256; use a longer one"):
        read_text(tmp_path / "short.txt", tokenizer, num_tokens=512, window=256)


def test_a_text_that_is_none(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    tokenizer = Tokenizer.load(checkpoint / TOKENIZER_FILE)
    with pytest.raises(UnsupportedError, match="as UTF-8 text"):
        read_text(tmp_path / "bytes", tokenizer, num_tokens=512, window=256)


def test_an_export_below_the_limit_is_refused_and_leaves_nothing(checkpoint: Path) -> None:
    package = checkpoint.parent / "package"
    options = tiny_options(accept_quality=False)  # random weights do not survive 4 bits
    with pytest.raises(
        QualityError, match=r"less than 80\.0%.*--rounding gptq, .*--accept-quality"
    ):
        export_checkpoint(str(checkpoint), package, options, progress=no_progress)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["tiny"]


def test_the_limit_can_be_set(checkpoint: Path) -> None:
    options = tiny_options(accept_quality=False, quality_limit=0.05)
    export_checkpoint(str(checkpoint), checkpoint.parent / "package", options, progress=no_progress)


def test_a_f32_package_passes(checkpoint: Path) -> None:
    options = tiny_options(accept_quality=False, precision="f32")
    export_checkpoint(str(checkpoint), checkpoint.parent / "package", options, progress=no_progress)


@pytest.fixture
def package(checkpoint: Path) -> Path:
    options = tiny_options(precision="f32")
    export_checkpoint(str(checkpoint), checkpoint.parent / "package", options, progress=no_progress)
    return checkpoint.parent / "package"


def test_verifying_against_the_checkpoint_repeats_the_gate(checkpoint: Path, package: Path) -> None:
    verified = check_package(package, against=str(checkpoint), num_tokens=128)
    assert verified.agreement == 1.0
    assert verified.divergence == pytest.approx(0, abs=1e-6)
    assert verified.tokens == 128


def test_verifying_against_another_checkpoint(package: Path) -> None:
    other = write_tiny_checkpoint(package.parent / "other", TinyModel("other", 77))
    with pytest.raises(QualityError, match=r"less than 99\.0%.*use --precision f32"):
        check_package(package, against=str(other), num_tokens=128)


def test_verifying_alone_compares_with_the_manifest(package: Path) -> None:
    assert check_package(package, num_tokens=128).agreement is None
    manifest = read_manifest(package)
    tokens = manifest.quality["tokens"]
    check_package(package, num_tokens=tokens)
    quality = manifest.quality | {"perplexity": 2 * manifest.quality["perplexity"]}
    write_manifest(msgspec.structs.replace(manifest, quality=quality), package)
    with pytest.raises(VerificationError, match=r"perplexity is .* where the manifest says"):
        check_package(package, num_tokens=tokens)
