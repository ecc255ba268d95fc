"""The options of a remote endpoint: the user's own, from the command line and the environment.

Invariant 23: no setting, and so no workspace, names an endpoint, a model or a token.
"""

from collections.abc import Callable
from functools import wraps
from importlib import resources
from typing import Any, Final

import click
import msgspec

from inference import MAX_NEIGHBOURS, Layout, RemoteOptions

LAYOUTS_FILE: Final = "remote_layouts.toml"


def read_layouts() -> tuple[Layout, ...]:
    """Return the layouts that ship."""
    text = (resources.files("lsp_server") / LAYOUTS_FILE).read_bytes()
    return tuple(msgspec.toml.decode(text, type=dict[str, list[Layout]])["layout"])


def remote_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an endpoint; it gets them as `remote`, None without one."""

    @click.option(
        "--remote",
        "url",
        metavar="URL",
        envvar="INKLING_REMOTE",
        help="Have this endpoint answer, and the model here where it does not; docs/remote.md.",
    )
    @click.option(
        "--remote-model",
        metavar="NAME",
        envvar="INKLING_REMOTE_MODEL",
        help="One of the endpoint's models; default the first one that it tells.",
    )
    @click.option(
        "--remote-layout",
        metavar="NAME",
        envvar="INKLING_REMOTE_LAYOUT",
        help="How that model spells a hole, where its name does not tell.",
    )
    @click.option(
        "--remote-neighbours",
        type=click.IntRange(0, MAX_NEIGHBOURS),
        default=0,
        show_default=True,
        help="So many of your other texts go to the endpoint too.",
    )
    @wraps(command)
    def with_remote(
        url: str | None,
        remote_model: str | None,
        remote_layout: str | None,
        remote_neighbours: int,
        **others: Any,  # noqa: ANN401 - the command's own
    ) -> None:
        remote = None
        if url:
            remote = RemoteOptions(
                url=url,
                model=remote_model,
                layout=remote_layout,
                layouts=read_layouts(),
                num_neighbours=remote_neighbours,
            )
        command(remote=remote, **others)

    return with_remote
