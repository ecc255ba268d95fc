"""Vim speaks LSP by ALE; our recipe for it goes into the vimrc."""

from inkling.clients import client_folder
from inkling.setup.machine import Machine, Plan, program_steps
from inkling.setup.steps import WriteBlock


def plan(machine: Machine) -> Plan:
    places = (machine.home / ".vimrc", machine.home / ".vim" / "vimrc")
    path = next((place for place in places if place.exists()), places[0])
    recipe = (client_folder("recipes") / "ale.vim").read_text("utf-8")
    return Plan(
        steps=(*program_steps(machine), WriteBlock(path, recipe, '"')),
        afterwards=(
            "Vim needs ALE for it (Debian: apt install vim-ale). Suggestions come with "
            "CTRL-X CTRL-O, code actions with :ALECodeAction."
        ),
    )
