"""Where this user's editors keep what is theirs, and which program is to be started."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inkling.setup.steps import Link, Step


@dataclass(frozen=True)
class Machine:
    """`program` is the `inkling` that ran the setup; `environment` holds the user's variables."""

    home: Path
    program: str
    environment: Mapping[str, str]
    is_windows: bool = False

    @property
    def config(self) -> Path:
        """The folder of configurations, by the XDG base directory specification."""
        return self._folder("XDG_CONFIG_HOME", ".config")

    @property
    def data(self) -> Path:
        return self._folder("XDG_DATA_HOME", ".local/share")

    def command(self, name: str) -> str | None:
        """Return a program on PATH."""
        return shutil.which(name, path=self.environment.get("PATH", os.defpath))

    def _folder(self, variable: str, place: str) -> Path:
        named = self.environment.get(variable, "")
        return Path(named) if Path(named).is_absolute() else self.home / place


@dataclass(frozen=True)
class Plan:
    """The steps for one editor; `afterwards` is what the user does or sees next."""

    steps: tuple[Step, ...]
    afterwards: str


def program_steps(machine: Machine) -> tuple[Step, ...]:
    """Return what has a client find the program: nothing, where installers put it in its place."""
    place = machine.home / ".local" / "bin" / "inkling"
    is_found = machine.is_windows or machine.command("inkling") is not None
    is_of_environment = (Path(machine.program).parents[1] / "pyvenv.cfg").exists()
    if is_found and not is_of_environment:
        return ()
    return (Link(Path(machine.program), place),)


def this_machine() -> Machine:
    return Machine(
        home=Path.home(),
        program=_own_program(),
        environment=os.environ,
        is_windows=sys.platform == "win32",
    )


def _own_program() -> str:
    """Return the program that runs now, so that an editor finds it wherever it was installed."""
    beside = Path(sys.executable).with_name("inkling.exe" if sys.platform == "win32" else "inkling")
    return str(beside) if beside.exists() else shutil.which("inkling") or "inkling"
