"""Find the editors of this machine, and whether each knows Inkling.

An editor knows it where one of its own configuration files names it, or an extension of that name
lies in its folder. The files are read for that word alone.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

WORD: Final = b"inkling"
MAX_FILES: Final = 500
MAX_FILE_BYTES: Final = 1_000_000

ADVICE: Final = "`inkling setup` has an editor know it; any other starts `inkling lsp`"


class Editor(msgspec.Struct, frozen=True, kw_only=True):
    """`commands` are what it is started as, `places` its configuration below the home folder.

    A place is a file, or a pattern of files. `extensions` are patterns of which one match is
    enough.
    """

    commands: tuple[str, ...]
    places: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()


EDITORS: Final[Mapping[str, Editor]] = {
    "VS Code": Editor(
        commands=("code", "codium", "code-insiders"),
        extensions=(".vscode*/extensions/*inkling*", ".vscode-oss/extensions/*inkling*"),
    ),
    "Neovim": Editor(
        commands=("nvim",),
        places=(".config/nvim/**/*.lua", ".config/nvim/**/*.vim"),
        extensions=(".local/share/nvim/**/*inkling*",),
    ),
    "Emacs": Editor(
        commands=("emacs",),
        places=(".emacs", ".emacs.d/*.el", ".config/emacs/*.el", ".doom.d/*.el"),
        extensions=(".emacs.d/elpa/*inkling*",),
    ),
    "Helix": Editor(
        commands=("hx", "helix"),
        places=(".config/helix/languages.toml", ".config/helix/config.toml"),
    ),
    "Vim": Editor(
        commands=("vim",),
        places=(".vimrc", ".vim/vimrc", ".vim/*.vim", ".vim/coc-settings.json"),
        extensions=(".vim/pack/*/*/*inkling*",),
    ),
}


class FoundEditor(msgspec.Struct, frozen=True, kw_only=True):
    """`is_set_up`: something of its configuration names Inkling; `where` is that file."""

    name: str
    command: str
    is_set_up: bool
    where: str = ""


def find_editors(home: Path, search_path: str | None = None) -> list[FoundEditor]:
    """Return the editors on the search path, by default PATH. Never raises."""
    found = list[FoundEditor]()
    for name, editor in EDITORS.items():
        commands = (shutil.which(command, path=search_path) for command in editor.commands)
        command = next((command for command in commands if command), None)
        if command is not None:
            where = _set_up_in(home, editor)
            found.append(
                FoundEditor(
                    name=name,
                    command=command,
                    is_set_up=where is not None,
                    where=str(where) if where else "",
                )
            )
    return found


def _set_up_in(home: Path, editor: Editor) -> Path | None:
    for pattern in editor.extensions:
        for path in _matches(home, pattern):
            return path
    return next(
        (path for place in editor.places for path in _matches(home, place) if _names_it(path)),
        None,
    )


def _matches(home: Path, pattern: str) -> Iterator[Path]:
    try:
        for number, path in enumerate(home.glob(pattern)):
            if number >= MAX_FILES:
                return
            yield path
    except OSError:
        return


def _names_it(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return WORD in file.read(MAX_FILE_BYTES).lower()
    except OSError:
        return False
