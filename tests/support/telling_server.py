"""The language server with an engine whose answers tell what it was asked.

What it writes depends on nothing but the text around the cursor, so a client can say what the
engine must have said of any version of a document. It finishes a line of its own as far as that
stands there, and adds something that only this very text leads to. Some answers take a while.

Beside LSP it answers `telling/text` (a uri) with what the server takes that document to hold.
Run: python -m tests.support.telling_server
"""

import hashlib
import re
import sys

import msgspec

from inference import Completion, CompletionRequest
from lsp_server.cli import create_server, run
from lsp_server.insight.journal import open_journal
from lsp_server.insight.logs import configure_logging
from lsp_server.server import InklingServer
from tests.support.scripted_engine import Log, Script, ScriptedEngine

COMMAND = (sys.executable, "-m", "tests.support.telling_server")

_WORDS = re.findall(
    r"\w+",
    "amber basil cedar delta ember fjord grove hazel indigo jasper kelp linen maple nectar olive "
    "pearl quartz raven sage thyme umber violet willow xenon yarrow zinc acorn birch clover dune "
    "elm fern",
)
_DELAYS_MS = (0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 5, 20)


def told(prefix: str, suffix: str) -> str:
    """Return what the engine says between two texts."""
    line_end = "\r\n" if "\r\n" in prefix + suffix else "\n"
    above, line = _split_at_line(prefix)
    begun = _begun(above)
    rest = begun[len(line) :] if begun.startswith(line) else ""
    kind, *numbers = _digest(prefix, suffix)
    first, second, third = (_WORDS[number % len(_WORDS)] for number in numbers[:3])
    more = (
        "",
        "",
        f" {first}_{second}_{third}",
        f"({first}, {second}[{third}])",
        f"{first}{line_end}    {second} = {third}{line_end}    {first}()",
        f"{first} \N{GRINNING FACE}\N{COMBINING ACUTE ACCENT} {second}.{third}",
        f"\"{first}\": '{second}' # {third}",
        f"{line_end}{line_end}\t{first}({second}){line_end}{third}",
    )
    return rest + more[kind % len(more)]


def _begun(above: str) -> str:
    """Return the line that the engine has in mind below these."""
    numbers = _digest(above)
    words = [_WORDS[number % len(_WORDS)] for number in numbers[:4]]
    return f"{words[0]} = {words[1]}({words[2]}, \N{FIRE}{words[3]})"


def _split_at_line(text: str) -> tuple[str, str]:
    start = max(text.rfind("\n"), text.rfind("\r")) + 1
    return text[:start], text[start:]


def _digest(*texts: str) -> bytes:
    data = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=8).digest()


def _sureness(text: str) -> tuple[float, ...]:
    """Return how sure the engine is of a text: of some so little that they are not shown."""
    return tuple(-number / 256 for number in _digest(text, "sureness"))


class TellingEngine(ScriptedEngine):
    async def complete(self, request: CompletionRequest) -> Completion:
        delay = _digest(request.prefix, "delay")[0] % len(_DELAYS_MS)
        text = told(request.prefix, request.suffix)
        self.script = Script(text=text, step_ms=_DELAYS_MS[delay])
        self.log = Log()
        completion = await super().complete(request)
        return msgspec.structs.replace(completion, log_probabilities=_sureness(text))


def main() -> None:
    configure_logging("warning", None)
    server = create_server(TellingEngine(), open_journal())

    async def text(ls: InklingServer, params: object) -> str | None:
        lines = ls.lines_of(params.uri)
        return None if lines is None else lines.text

    server.feature("telling/text")(text)
    sys.exit(run(server))


if __name__ == "__main__":
    main()
