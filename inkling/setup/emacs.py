"""Emacs loads our files from its own folder, and its init file turns the mode on."""

from pathlib import Path
from typing import Final

from inkling.clients import client_folder
from inkling.setup.machine import Machine, Plan, program_steps
from inkling.setup.steps import CopyFolder, WriteBlock

LINES: Final = """\
(add-to-list 'load-path (expand-file-name "inkling" "{folder}"))
(when (require 'inkling nil t)
  (inkling-global-mode))
"""


def plan(machine: Machine) -> Plan:
    folder = _user_folder(machine)
    before = (machine.home / ".emacs.el", machine.home / ".emacs")
    init = next((path for path in before if path.exists()), folder / "init.el")
    lines = LINES.format(folder=f"{folder.as_posix()}/")
    return Plan(
        steps=(
            *program_steps(machine),
            CopyFolder(client_folder("emacs"), folder / "inkling"),
            WriteBlock(init, lines, ";;"),
        ),
        afterwards="Start Emacs anew; TAB accepts what is shown, C-h m tells the rest.",
    )


def _user_folder(machine: Machine) -> Path:
    """Return `user-emacs-directory`; see "Find Init" in the Emacs manual."""
    old, new = machine.home / ".emacs.d", machine.config / "emacs"
    return new if new.is_dir() and not old.exists() else old
