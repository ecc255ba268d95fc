"""Put a package in its place, whole or not at all.

Everything is written to a folder beside the target, which takes its name at the very end. Whatever
interrupts before that, the target is as it was and the folder beside it is removed.
A target that is not a package is never touched.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from export.errors import PackageError
from export.graph import DATA_FILE
from export.quantization.scheme import Scheme
from export.spec import DecoderSpec, GroupedQuery, SparseMoE, num_active_parameters, num_parameters
from inference.errors import InklingError
from inference.fim import FimTemplate
from inference.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    Architecture,
    ModelManifest,
    Parameters,
    Source,
    file_entry,
    read_manifest,
    write_manifest,
)

EXPORTER_VERSION: Final = "1"
"""Raised whenever the same checkpoint would give other bytes."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a package says of itself beside what its spec and scheme say."""

    name: str
    source: Source
    model_type: str
    context_length: int
    eos_token_ids: tuple[int, ...]
    fim: FimTemplate | None


@contextlib.contextmanager
def replacing(output: Path) -> Generator[Path]:
    """Yield an empty folder that becomes `output` when the block ends without an exception.

    Raises PackageError where `output` cannot be written or is something else than a package.
    """
    check_output(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
    except OSError as error:
        raise PackageError(f"cannot write to {output.parent}: {error.strerror}") from error
    try:
        yield folder
        folder.chmod(0o755)  # a temporary folder is private; a package is read by whoever may
        _swap(folder, output)
    except OSError as error:
        raise PackageError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_output(output: Path) -> None:
    """Raise PackageError unless `output` is absent, an empty folder, or a package and no more."""
    if not output.exists() and not output.is_symlink():
        return
    if output.is_symlink() or not output.is_dir():
        raise PackageError(f"{output} is not a folder; choose another --output")
    present = {path.name for path in output.iterdir()}
    if not present:
        return
    try:
        known = {MANIFEST_FILE, *read_manifest(output).files}
    except InklingError as error:
        raise PackageError(
            f"{output} is not empty and not a package ({error}); choose another --output"
        ) from error
    if present - known:
        raise PackageError(
            f"{output} holds {min(present - known)}, which is no part of its package; "
            "move it away or choose another --output"
        )


def complete_package(
    folder: Path,
    identity: Identity,
    spec: DecoderSpec,
    scheme: Scheme,
    *,
    tokenizer: Path,
    quality: Mapping[str, Any],
) -> ModelManifest:
    """Add tokenizer and manifest to a folder that holds the graph; return the manifest."""
    shutil.copyfile(tokenizer, folder / TOKENIZER_FILE)
    manifest = ModelManifest(
        name=identity.name,
        source=identity.source,
        exporter_version=EXPORTER_VERSION,
        precision=scheme.precision,
        block_size=scheme.block_size if scheme.bits else None,
        architecture=_architecture(identity.model_type, spec),
        parameters=Parameters(total=num_parameters(spec), active=num_active_parameters(spec)),
        context_length=identity.context_length,
        eos_token_ids=identity.eos_token_ids,
        fim=identity.fim,
        files={name: file_entry(folder / name) for name in (MODEL_FILE, DATA_FILE, TOKENIZER_FILE)},
        quality=dict(quality),
    )
    write_manifest(manifest, folder)
    return manifest


def _architecture(model_type: str, spec: DecoderSpec) -> Architecture:
    attention: GroupedQuery = spec.layers[0].attention
    sparse = [layer.feed_forward for layer in spec.layers]
    experts = [part for part in sparse if isinstance(part, SparseMoE)]
    return Architecture(
        model_type=model_type,
        vocab_size=spec.vocab_size,
        hidden_size=spec.hidden_size,
        num_hidden_layers=len(spec.layers),
        num_attention_heads=attention.num_attention_heads,
        num_key_value_heads=attention.num_key_value_heads,
        head_dim=attention.head_dim,
        num_experts=max((part.num_experts for part in experts), default=0),
        num_experts_per_tok=max((part.router.num_experts_per_tok for part in experts), default=0),
    )


def _swap(folder: Path, output: Path) -> None:
    """Give `folder` the name `output`; the package that had it goes away afterwards."""
    check_output(output)  # again: an export takes minutes
    if not output.exists():
        folder.rename(output)
        return
    retired = folder.with_name(f"{folder.name}-old")
    output.rename(retired)
    try:
        folder.rename(output)
    except BaseException:
        retired.rename(output)
        raise
    shutil.rmtree(retired)
