"""Neovim takes a plugin from its own package folder; `:help packages` names it."""

from pathlib import Path

from inkling.clients import client_folder
from inkling.setup.machine import Machine, Plan, program_steps
from inkling.setup.steps import CopyFolder


def plan(machine: Machine) -> Plan:
    destination = _data(machine) / "site" / "pack" / "inkling" / "start" / "inkling"
    return Plan(
        steps=(*program_steps(machine), CopyFolder(client_folder("neovim"), destination)),
        afterwards="Start Neovim anew; Tab accepts what is shown, :help inkling tells the rest.",
    )


def _data(machine: Machine) -> Path:
    if machine.is_windows:
        local = machine.environment.get("LOCALAPPDATA")
        return Path(local or machine.home / "AppData" / "Local") / "nvim-data"
    return machine.data / machine.environment.get("NVIM_APPNAME", "nvim")
