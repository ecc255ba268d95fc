"""Find a checkpoint: a folder, or files of a Hugging Face repository in the local hub cache.

Only what export reads is fetched, and weights only when they are wanted: a model that is not
implemented is refused after its config.json alone.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from export.errors import CheckpointError

SMALL_FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
WEIGHT_FILES: Final = ("*.safetensors", "*.safetensors.index.json")

_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")

Fetch = Callable[[str, Sequence[str]], Path]
"""Bring the files of a repository that match the patterns to a local folder, and return it."""


class CheckpointSource(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` holds the small files; `fetch_weights` brings the others, and returns their folder.

    `revision` is None for a local folder.
    """

    name: str
    revision: str | None
    folder: Path
    fetch_weights: Callable[[], Path]


def fetch_from_hub(repository: str, patterns: Sequence[str]) -> Path:
    """Download to the hub's cache; what is there already is not fetched again.

    Raises CheckpointError where the hub cannot be reached or refuses.
    """
    # Half a second, and only the hub needs it.
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]

    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns)))
    except Exception as error:  # the client's errors, and those of its transports, share no base
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"cannot fetch {repository} from Hugging Face: {reason}; check the name and the "
            "network, or give the folder of a downloaded checkpoint"
        ) from error


def find_source(source: str, *, fetch: Fetch = fetch_from_hub) -> CheckpointSource:
    """Resolve what the user named. Raises CheckpointError where it is neither folder nor hub id."""
    folder = Path(source)
    if folder.is_dir():
        return CheckpointSource(
            name=folder.resolve().name, revision=None, folder=folder, fetch_weights=lambda: folder
        )
    if folder.exists():
        raise CheckpointError(f"{source} is a file; give the folder of the checkpoint")
    # "name" inside a folder that is there was meant as a path.
    is_hub_id = _HUB_ID.fullmatch(source) is not None and not folder.parent.is_dir()
    if not is_hub_id:
        raise CheckpointError(f"there is no folder {source}")
    cached = fetch(source, SMALL_FILES)
    # A snapshot's folder is named by its commit, which is the exact revision.
    return CheckpointSource(
        name=source,
        revision=cached.name,
        folder=cached,
        fetch_weights=lambda: fetch(source, WEIGHT_FILES),
    )
