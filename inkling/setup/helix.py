"""Helix takes language servers from its languages.toml; it draws no ghost text.

A language's list of servers there replaces Helix's own, so ours names those as well, as
`hx --health` tells them.
"""

import json
import re
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inkling.setup.machine import Machine, Plan
from inkling.setup.steps import SetupError, WriteBlock

COMMENT: Final = "#"
LANGUAGES: Final = (
    *("python", "javascript", "typescript", "tsx", "jsx", "go", "rust", "java", "c", "cpp"),
    *("ruby", "lua", "bash", "markdown", "latex"),
)
SERVER: Final = re.compile(r"^\s+\S+ ([^\s:]+):", re.MULTILINE)
COLOURS: Final = re.compile(r"\x1b\[[\d;]*m")


def plan(machine: Machine) -> Plan:
    program = machine.command("hx") or machine.command("helix")
    if program is None:
        raise SetupError(
            "no `hx` on PATH; --print shows nothing without it, which knows its servers"
        )
    path = machine.config / "helix" / "languages.toml"
    own = _written_by_user(path)
    named = {str(language.get("name")) for language in own.get("language", [])}
    free = [name for name in LANGUAGES if name not in named]
    afterwards = "Start Helix anew; suggestions come in its menu, code actions with space a."
    if skipped := sorted(named & set(LANGUAGES)):
        listed = ", ".join(skipped)
        afterwards += f'\n{path} names the servers of {listed}; add "inkling" to those yourself.'
    text = _text(machine.program, {name: _servers(program, name) for name in free})
    return Plan(steps=(WriteBlock(path, text, COMMENT),), afterwards=afterwards)


def _text(program: str, servers: dict[str, Sequence[str]]) -> str:
    lines = ["[language-server.inkling]", f"command = {json.dumps(program)}", 'args = ["lsp"]']
    for name, others in servers.items():
        listed = json.dumps([*others, "inkling"])
        lines += ["", "[[language]]", f'name = "{name}"', f"language-servers = {listed}"]
    return "\n".join(lines)


def _servers(program: str, language: str) -> Sequence[str]:
    """Return the servers that Helix has for a language without us."""
    done = subprocess.run(  # noqa: S603 - an editor's own command, found on PATH
        (program, "--health", language), check=False, capture_output=True, text=True
    )
    _, _, told = COLOURS.sub("", done.stdout).partition("Configured language servers:")
    listed, _, _ = told.partition("Configured debug adapter")
    return [name for name in SERVER.findall(listed) if name != "inkling"]


def _written_by_user(path: Path) -> dict[str, list[dict[str, object]]]:
    """Return what a languages.toml says outside our block."""
    try:
        text = WriteBlock(path, "", COMMENT).without()
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{path} is no valid TOML ({error}); nothing was changed") from error
    if "inkling" in said.get("language-server", {}):
        raise SetupError(f"{path} has a server named inkling already; nothing was changed")
    return said
