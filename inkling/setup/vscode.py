"""VS Code and what is made of it install an extension from a file by a command of their own."""

import functools
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Final

from inkling.clients import client_folder
from inkling.setup.machine import Machine, Plan, program_steps
from inkling.setup.steps import Run, SetupError

COMMANDS: Final = ("code", "code-insiders", "codium", "cursor", "windsurf", "code-server")


def plan(machine: Machine) -> Plan:
    extension = client_folder("vscode") / "inkling.vsix"
    programs = [found for name in COMMANDS if (found := machine.command(name))]
    if not programs:
        message = (
            "no `code` on PATH; in VS Code run \"Shell Command: Install 'code' command in PATH\", "
            f'or "Extensions: Install from VSIX..." with {extension}'
        )
        raise SetupError(message)
    return Plan(
        steps=(
            *program_steps(machine),
            *(_installed(program, extension) for program in programs),
        ),
        afterwards="Reload the window; Tab accepts what is shown.",
    )


def _installed(program: str, extension: Path) -> Run:
    name, version = _identity(extension)

    def is_done() -> bool:
        return f"{name}@{version}" in _listed(program)

    def is_there() -> bool:
        return any(line.startswith(f"{name}@") for line in _listed(program))

    return Run(
        command=(program, "--install-extension", str(extension), "--force"),
        undo=(program, "--uninstall-extension", name),
        is_done=is_done,
        is_there=is_there,
    )


@functools.cache
def _identity(extension: Path) -> tuple[str, str]:
    """Return the id and the version that a VSIX, a zip archive, states in its package.json."""
    with zipfile.ZipFile(extension) as archive:
        manifest = json.loads(archive.read("extension/package.json"))
    return f"{manifest['publisher']}.{manifest['name']}".lower(), manifest["version"]


def _listed(program: str) -> list[str]:
    done = subprocess.run(  # noqa: S603 - an editor's own command, found on PATH
        (program, "--list-extensions", "--show-versions"),
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.lower().split()
