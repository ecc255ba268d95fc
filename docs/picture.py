"""Draw docs/demo.svg, the README's picture: `python docs/picture.py FILE:LINE:COLUMN [UNTIL]`.

What it shows is what the engine answers; nothing is painted in.
"""

import asyncio
import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from inference.cli import complete_once, read_hole, request_for, show_completion


def main(place: str, until: str | None = None) -> None:
    hole = read_hole(place, until)
    request = request_for(hole, scope="line", max_tokens=64)
    status, completion = asyncio.run(complete_once(None, request))
    console = Console(record=True, width=96, file=io.StringIO())
    show_completion(console, hole, completion, status)
    svg = console.export_svg(title="inkling complete --show", theme=MONOKAI)
    # The library's own pictures fetch a font from the network; ours is content with what is there.
    drawn = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    (Path(__file__).parent / "demo.svg").write_text(drawn, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
