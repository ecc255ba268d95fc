"""Find a checkpoint: a folder, a GGUF file, what Ollama pulled, or files of the hub in its cache.

Only what export reads is fetched, and weights only when they are wanted: a model that is not
implemented is refused after its small files. Everything comes from the one commit that was current
at the beginning. What was downloaded before, or half of it, is not fetched again; where nothing can
be reached, or the user says HF_HUB_OFFLINE=1, the cache alone is used.
"""

import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from export.checkpoint.gguf.checkpoint import open_gguf
from export.checkpoint.headers import INDEX_FILE, SINGLE_FILE, read_weight_map
from export.checkpoint.hub import hub_client, hub_name, latest_snapshot, reason_of
from export.checkpoint.ollama import PREFIX, find_model
from export.checkpoint.plan import Rule
from export.checkpoint.recognition import ADAPTER_FILE, file_refusal, is_gguf
from export.checkpoint.safetensors import Reading, open_checkpoint
from export.checkpoint.stored import Checkpoint
from export.errors import CheckpointError

SMALL_FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    ADAPTER_FILE,
    INDEX_FILE,
)
GGUF_SUFFIX: Final = ".gguf"
_SHARD: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")
_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")

Fetch = Callable[[str, str | None, Sequence[str]], Path]
"""Bring files of a repository, as of a revision, to a local folder named by the commit.

Files that the repository does not have are left out.
"""


def nothing_rounded(bits: int) -> None:
    """Know nothing that is stored rounded."""


class CheckpointSource(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` holds the small files; `open_weights` brings the others, and reads their headers.

    `revision` is None for what lies here already. `stored_block_size` tells, by bits, in which
    blocks most of what is stored could be taken over, where the config does not say it; `rules` say
    which slots the tensors fill, where they are not called as the family's own checkpoints call
    them; `remarks` say what beside the model is left out; `lasting` keeps the folder for as long as
    this is there.
    """

    name: str
    revision: str | None
    folder: Path
    open_weights: Callable[[Reading], Checkpoint]
    stored_block_size: Callable[[int], int | None] = nothing_rounded
    rules: tuple[Rule, ...] = ()
    remarks: tuple[str, ...] = ()
    lasting: object = None


def fetch_from_hub(
    repository: str,
    revision: str | None,
    names: Sequence[str],
    *,
    endpoint: str | None = None,
    cache: Path | None = None,
) -> Path:
    """Download to the hub's cache, with a bar on stderr; what is there is not fetched again.

    Raises CheckpointError where the hub cannot be reached or refuses.
    """
    client = hub_client()
    try:
        folder = client.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=list(names),
            endpoint=endpoint,
            cache_dir=cache,
        )
    except Exception as error:  # the client's errors, and those of its transports, share no base
        raise CheckpointError(
            f"cannot fetch {repository} from Hugging Face: {reason_of(error)}; check the name and "
            "the network, or give the folder of a downloaded checkpoint"
        ) from error
    return Path(folder)


def find_source(
    source: str, *, revision: str | None = None, fetch: Fetch = fetch_from_hub
) -> CheckpointSource:
    """Resolve what the user named. Raises CheckpointError where it is neither folder nor hub id."""
    if source.startswith(PREFIX):
        return _ollama_source(source.removeprefix(PREFIX), revision)
    path = Path(source)
    if path.is_dir():
        return _folder_source(path, revision)
    has_suffix = path.suffix.lower() == GGUF_SUFFIX
    if is_gguf(path) or (has_suffix and path.is_file()):
        return _gguf_source(path, revision)
    if path.exists():
        raise file_refusal(path)
    # "name" inside a folder that is there was meant as a path.
    is_hub_id = _HUB_ID.fullmatch(source) is not None and not path.parent.is_dir()
    if has_suffix or not is_hub_id:
        raise CheckpointError(f"there is no {'file' if has_suffix else 'folder'} {source}")
    cached = fetch(source, revision, SMALL_FILES)
    # A snapshot's folder is named by its commit, which is the exact revision.
    return CheckpointSource(
        name=source,
        revision=cached.name,
        folder=cached,
        open_weights=lambda reading: open_checkpoint(
            _fetch_weights(source, cached, fetch), reading
        ),
    )


def _folder_source(folder: Path, revision: str | None) -> CheckpointSource:
    if revision is not None:
        raise CheckpointError(f"{folder} is a folder and has no revision {revision}; leave it")
    snapshot = latest_snapshot(folder) or folder
    return CheckpointSource(
        name=hub_name(snapshot) or snapshot.resolve().name,
        revision=None,
        folder=snapshot,
        open_weights=lambda reading: open_checkpoint(snapshot, reading),
    )


def _ollama_source(name: str, revision: str | None) -> CheckpointSource:
    """Read what Ollama has pulled, once its bytes are known to be those."""
    model = find_model(name)
    found = _gguf_source(model.path, revision)

    def open_weights(reading: Reading) -> Checkpoint:
        model.check()
        return found.open_weights(reading)

    left_out = "left out as no part of the language model: what sees beside it (projector)"
    return msgspec.structs.replace(
        found,
        name=f"{PREFIX}{model.name}",
        open_weights=open_weights,
        remarks=(left_out,) if model.has_projector else (),
    )


class _LastingFolder:
    """A folder that is there for as long as this is, and goes without being told."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="inkling-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def with_small_file(found: CheckpointSource, name: str, content: bytes) -> CheckpointSource:
    """Return the source with another content of one small file; its own files stay as they are."""
    lasting = _LastingFolder()
    for path in (found.folder / other for other in SMALL_FILES if other != name):
        if path.is_file():
            shutil.copyfile(path, lasting.path / path.name)
    (lasting.path / name).write_bytes(content)
    return msgspec.structs.replace(found, folder=lasting.path, lasting=(lasting, found.lasting))


def _gguf_source(path: Path, revision: str | None) -> CheckpointSource:
    """Write what a folder would hold beside the weights, for as long as it is wanted."""
    if revision is not None:
        raise CheckpointError(f"{path} is a file and has no revision {revision}; leave it")
    opened = open_gguf(path)
    lasting = _LastingFolder()
    for name, value in opened.small_files.items():
        (lasting.path / name).write_bytes(msgspec.json.encode(value))
    return CheckpointSource(
        name=opened.name,
        revision=None,
        folder=lasting.path,
        open_weights=lambda _: opened.checkpoint,
        stored_block_size=opened.checkpoint.stored_block_size,
        rules=opened.rules,
        lasting=lasting,
    )


def _fetch_weights(repository: str, folder: Path, fetch: Fetch) -> Path:
    """Bring the shards that the index names, or else the single file, and nothing beside them.

    Repositories hold the same weights twice, for other programs, and what training left.
    """
    commit = folder.name
    if not (folder / INDEX_FILE).is_file():
        return fetch(repository, commit, [SINGLE_FILE])
    shards = sorted(set(read_weight_map(folder / INDEX_FILE).values()))
    # A name is a pattern to the hub's client, and a path to the cache.
    strange = [name for name in shards if not _SHARD.fullmatch(name)]
    if strange:
        raise CheckpointError(f"{folder / INDEX_FILE} names {strange[0]!r}, no safetensors file")
    return fetch(repository, commit, shards)
