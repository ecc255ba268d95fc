"""Read, write and check `manifest.json`, the only thing a package is trusted by.

A package is a folder:

    manifest.json     what the model is, and name, size and SHA-256 of every other file
    model.onnx        the graph for a CPU
    model.onnx.data   its weights
    model_cuda.onnx, model_cuda.onnx.data    where there is one, the graph for an NVIDIA GPU, and
                      those of its weights that are not in the other's file already
    predictor.onnx, predictor.onnx.data      where there is one, the graph that predicts the token
                      behind the next one, and its own weights
    tokenizer.json    Hugging Face tokenizers' own format
    config.json, chat_template.jinja    the checkpoint's own, as data that the engine does not read

Invariant 2: all the engine must know of a model stands here; no family name decides anything.
The manifest's last field is the hash of its own text, so that a bit that flipped on a disk is found
in it too. It proves nothing of who wrote it.

Invariant 20: loading reads this file and the files it names, with their hashes, nothing else.
A hash is necessary: 481 of 500 bit flips in an ONNX file loaded and ran without any error.
"""

import hashlib
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from inference.chat import ChatTemplate
from inference.errors import InvalidModelError, ModelNotFoundError
from inference.fim import FimTemplate, TokenId

MANIFEST_FILE: Final = "manifest.json"
MODEL_FILE: Final = "model.onnx"
CUDA_MODEL_FILE: Final = "model_cuda.onnx"
PREDICTOR_FILE: Final = "predictor.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"
FORMAT: Final = 1
MAX_MANIFEST_BYTES: Final = 1 << 20

_NO_DIGEST: Final = "0" * 64
_DIGEST: Final = re.compile(rb'"sha256": "([0-9a-f]{64})"\n}\n')

# Nothing that a file system reads as more than a name: no folder, no drive, no stream, no NUL.
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", re.ASCII)

Precision = Literal["f32", "f16", "int8", "int4"]
Device = Literal["cpu", "cuda"]

GRAPH_FILES: Final[Mapping[Device, str]] = {"cpu": MODEL_FILE, "cuda": CUDA_MODEL_FILE}
"""The graph that each device runs. All packages have that of the CPU."""

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: Count
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Heads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many key heads a layer has, and how large they are; its values have the same."""

    number: Positive
    size: Positive


class Full(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="sees",
    tag="all_tokens",
):
    """A layer whose tokens see all before them; `heads` where it has others than most layers."""

    heads: Heads | None = None


class Windowed(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="sees",
    tag="window",
):
    """A layer whose tokens see themselves and the `window - 1` before them; `heads` as in Full."""

    window: Positive
    heads: Heads | None = None


class Recurrent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="sees",
    tag="state",
):
    """A layer that keeps a state of fixed size: its last tokens' channels, and one for each head.

    They are [num_channels, kernel_size - 1] and [num_heads, key_head_dim, value_head_dim]; a layer
    without heads keeps the channels alone.
    """

    kernel_size: Annotated[int, msgspec.Meta(ge=2)]
    num_channels: Positive
    num_heads: NotNegative = 0
    key_head_dim: NotNegative = 0
    value_head_dim: NotNegative = 0


CacheKind = Full | Windowed | Recurrent
"""What a layer has to keep of the tokens that were read."""


class Architecture(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The figures that size the caches and explain the speed; `model_type` is for people only.

    `cache_kinds` has one entry per layer, or none where every layer is Full. `predictor` is what
    the one layer of the predictor keeps, where the package has one: the CPU's graph then gives the
    hidden states that it reads.
    """

    model_type: str
    vocab_size: Positive
    hidden_size: Positive
    num_hidden_layers: Positive
    num_attention_heads: Positive
    num_key_value_heads: Positive
    head_dim: Positive
    num_experts: Count
    num_experts_per_tok: Count
    cache_kinds: tuple[CacheKind, ...] = ()
    predictor: CacheKind | None = None

    def __post_init__(self) -> None:
        if len(self.cache_kinds) not in {0, self.num_hidden_layers}:
            raise ValueError(
                f"{len(self.cache_kinds)} cache_kinds for {self.num_hidden_layers} layers"
            )
        windowed = {kind.heads for kind in self.cache_kinds if isinstance(kind, Windowed)}
        if len(windowed) > 1:
            raise ValueError("layers that see a window have keys of several sizes")

    @property
    def kinds_of_layers(self) -> tuple[CacheKind, ...]:
        return self.cache_kinds or (Full(),) * self.num_hidden_layers

    def without_windows(self) -> "Architecture":
        """Return the same with layers that keep all tokens instead of a window of them."""
        kinds = [
            Full(kind.heads) if isinstance(kind, Windowed) else kind
            for kind in self.kinds_of_layers
        ]
        return msgspec.structs.replace(self, cache_kinds=tuple(kinds))

    def of_predictor(self) -> "Architecture":
        """Return the predictor's own, which is a decoder of one layer."""
        assert self.predictor is not None
        return msgspec.structs.replace(
            self, num_hidden_layers=1, cache_kinds=(self.predictor,), predictor=None
        )

    def heads_of(self, layer: int) -> Heads:
        """Return the heads of a layer that keeps keys and values."""
        kind = self.kinds_of_layers[layer]
        assert not isinstance(kind, Recurrent)
        return kind.heads or Heads(self.num_key_value_heads, self.head_dim)


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`active` are those one token is multiplied by; an embedding lookup counts one row."""

    total: Count
    active: Count


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the weights came from: a folder's name or a hub id, and the hub's revision."""

    name: str
    revision: str | None = None


class ModelManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal[1] = FORMAT
    name: str
    source: Source
    exporter_version: str
    precision: Precision
    block_size: int | None
    architecture: Architecture
    parameters: Parameters
    context_length: Positive
    eos_token_ids: Annotated[tuple[TokenId, ...], msgspec.Meta(min_length=1)]
    fim: FimTemplate | None
    chat: ChatTemplate | None = None
    leading_token_ids: tuple[TokenId, ...] = ()
    """What every prompt begins with: the token that says so, where the model was trained on it."""
    files: dict[str, FileEntry]
    quality: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    sha256: str = _NO_DIGEST
    """Of the manifest's own text with 64 zeros in this place; known to reading and writing only."""

    @property
    def layout_token_ids(self) -> frozenset[int]:
        """The control tokens that holes and conversations are laid out with."""
        holes = self.fim.special_token_ids if self.fim else frozenset[int]()
        return holes | (self.chat.token_ids if self.chat else frozenset[int]())

    @property
    def devices(self) -> tuple[Device, ...]:
        """What the package has graphs for."""
        return tuple(device for device, name in GRAPH_FILES.items() if name in self.files)

    @property
    def num_bytes(self) -> int:
        """The size of all files but the manifest itself."""
        return sum(file.size for file in self.files.values())


def file_entry(path: Path) -> FileEntry:
    """Measure one file: size and SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return FileEntry(size=path.stat().st_size, sha256=digest.hexdigest())


def write_manifest(manifest: ModelManifest, folder: Path) -> None:
    assert manifest.sha256 == _NO_DIGEST
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    digest = hashlib.sha256(text).hexdigest().encode()
    (folder / MANIFEST_FILE).write_bytes(_DIGEST.sub(b'"sha256": "' + digest + b'"\n}\n', text))


def read_manifest(folder: Path) -> ModelManifest:
    """Read and check the manifest alone, not yet the files it names.

    Raises ModelNotFoundError where there is no package, InvalidModelError where there is a bad one.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ModelNotFoundError(f"no {MANIFEST_FILE} in {folder}; run `inkling export` first")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise InvalidModelError(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes; export again")
    try:
        text = path.read_bytes()
        manifest = msgspec.json.decode(text, type=ModelManifest)
    except OSError as error:
        raise InvalidModelError(f"{path} cannot be read: {error.strerror}") from error
    # A ValidationError is a DecodeError too; the other two are not.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModelError(f"{path} is not a valid manifest: {error}; export again") from error
    _check_names(manifest, path)
    _check_digest(text, path)
    return msgspec.structs.replace(manifest, sha256=_NO_DIGEST)


def verify_files(manifest: ModelManifest, folder: Path) -> None:
    """Check that every named file is a regular file, no link to one, of the right size and hash.

    Raises InvalidModelError naming the first file that is not.
    """
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            _verify_file(path, expected)
        except FileNotFoundError:
            raise InvalidModelError(f"{path} is missing; export or install again") from None
        except OSError as error:
            raise InvalidModelError(
                f"{path} cannot be read: {error.strerror}; see to it, or export again"
            ) from error


def _verify_file(path: Path, expected: FileEntry) -> None:
    status = path.lstat()
    # A second name for the same file is harmless: installers link files from a cache, and size and
    # hash vouch for the bytes. A symbolic link may show others tomorrow.
    if not stat.S_ISREG(status.st_mode):
        raise InvalidModelError(f"{path} is a link or not a regular file; copy it instead")
    if status.st_size != expected.size:
        raise InvalidModelError(
            f"{path} has {status.st_size} bytes instead of {expected.size}; it is truncated "
            "or was changed: export or install again"
        )
    if file_entry(path).sha256 != expected.sha256:
        raise InvalidModelError(f"{path} does not match its hash; export or install again")


def _check_digest(text: bytes, path: Path) -> None:
    place = _DIGEST.search(text)
    if place is not None and place.end() == len(text):
        digest = place[1].decode()
        unsigned = text[: place.start(1)] + _NO_DIGEST.encode() + text[place.end(1) :]
        if hashlib.sha256(unsigned).hexdigest() == digest:
            return
    raise InvalidModelError(f"{path} was changed since it was written; export or install again")


def _check_names(manifest: ModelManifest, manifest_path: Path) -> None:
    predictor = () if manifest.architecture.predictor is None else (PREDICTOR_FILE,)
    for required in (MODEL_FILE, TOKENIZER_FILE, *predictor):
        if required not in manifest.files:
            raise InvalidModelError(f"{manifest_path} names no {required}; export again")
    for name in manifest.files:
        if not _FILE_NAME.fullmatch(name) or name == MANIFEST_FILE:
            raise InvalidModelError(
                f"{manifest_path} names {name!r}, which is no plain file name; export again"
            )
