"""Draw docs/pictures/neovim.png and emacs.png: `python -m docs.editor_pictures`.

Both editors run in a terminal, a key at a time is typed, and what stands on their screens is drawn:
the ghost text is what the model answers that `inkling model use` chose.
"""

import io
import os
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.editors.browser import chromium
from tests.editors.emacs.editor import PACKAGE, lisp_list
from tests.editors.emacs.editor import find as find_emacs
from tests.editors.neovim.editor import PLUGIN
from tests.editors.neovim.editor import find as find_neovim
from tests.editors.tmux import COLUMNS, Screen

PICTURES = Path(__file__).parent / "pictures"
BACKGROUND = "#1c1c1c"
COMMAND = [sys.executable, "-m", "inkling"]

TEXT = '''\
class Point:
    """A place in the plane."""

    def __init__(self, x, y):
        self.x = x
        self.y = y
'''
TYPED = [
    "    def distance(self, other):",
    "Enter",
    "for item in ra",
]  # editors indent by themselves


def neovim(home: Path) -> Screen:
    words = ", ".join(f'"{word}"' for word in COMMAND)
    (home / "init.lua").write_text(
        f'vim.opt.runtimepath:prepend("{PLUGIN}")\nvim.o.number = true\nvim.o.laststatus = 2\n'
        "vim.o.statusline = \" %f %m%=%{v:lua.require'inkling'.statusline()} \"\n"
        "vim.cmd('filetype plugin on | syntax on | colorscheme habamax')\n"
        f'require("inkling").setup({{ command = {{ {words} }}, offer_models = false }})\n'
    )
    arguments = ["-n", "-i", "NONE", "-u", home / "init.lua", "point.py"]
    return Screen(_coloured(find_neovim("0.10").path, *arguments), _folders(home), home)


def emacs(home: Path) -> Screen:
    (home / "init.el").write_text(
        "(setq inhibit-startup-screen t make-backup-files nil auto-save-default nil\n"
        f"      inkling-command {lisp_list(COMMAND)} inkling-offer-models nil)\n"
        "(load-theme 'modus-vivendi)\n(menu-bar-mode -1)\n(global-display-line-numbers-mode)\n"
        f"(add-to-list 'load-path \"{PACKAGE}\")\n(require 'inkling)\n(inkling-global-mode)\n"
    )
    program = find_emacs("30")
    arguments = [*program.arguments, "-nw", "-Q", "-l", home / "init.el", "point.py"]
    return Screen(_coloured(program.path, *arguments), {**_folders(home), **program.env}, home)


def _coloured(*command: str | Path) -> list[str | Path]:
    return ["env", "TERM=screen-256color", "COLORTERM=truecolor", *command]


def _folders(home: Path) -> dict[str, str]:
    names = ("CONFIG", "STATE", "CACHE")
    folders = {f"XDG_{name}_HOME": str(home) for name in names}
    # Its models are the user's own.
    data = os.environ.get("XDG_DATA_HOME") or str(Path("~/.local/share").expanduser())
    return {**folders, "XDG_DATA_HOME": data, "HOME": str(home)}


def draw(name: str, screen: Screen, ready: str, keys: list[str]) -> None:
    with screen:
        screen.shows(ready)
        screen.type(*keys)
        screen.type(*TYPED)
        screen.shows(rf"{TYPED[-1]}\S+")
        painted = screen.coloured()
    lines = painted.rstrip("\n").split("\n")
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi("\n".join(lines)))
    svg = console.export_svg(title=name, theme=MONOKAI)
    # The library's own pictures fetch a font from the network; this one is content with what is.
    drawn = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    # What is behind a line's end is as dark as the editors have it.
    drawn = drawn.replace(MONOKAI.background_color.hex, BACKGROUND)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1240, "height": 720})
        page.set_content(f"<body style='margin:0;background:{BACKGROUND}'>{drawn}</body>")
        page.locator("svg").screenshot(path=PICTURES / f"{name.lower()}.png")


def main() -> None:
    for name, start, ready, keys in (
        ("Neovim", neovim, r"\binkling \(small|\binkling *$", ["G", "i"]),
        ("Emacs", emacs, r"Inkling:small model|Inkling\)", ["M->"]),
    ):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "point.py").write_text(TEXT + "\n\n")
            draw(name, start(Path(folder)), ready, keys)


if __name__ == "__main__":
    main()
