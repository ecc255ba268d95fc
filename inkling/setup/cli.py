"""The command `inkling setup`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import click
import platformdirs
from rich.console import Console
from rich.table import Table

from inkling.setup import emacs, helix, neovim, vim, vscode
from inkling.setup.machine import Machine, Plan, this_machine
from inkling.setup.steps import Backup
from lsp_server.insight.editors import find_editors

EDITORS: Final[Mapping[str, Callable[[Machine], Plan]]] = {
    "vscode": vscode.plan,
    "neovim": neovim.plan,
    "emacs": emacs.plan,
    "helix": helix.plan,
    "vim": vim.plan,
}


@click.command()
@click.argument("editor", required=False, type=click.Choice(list(EDITORS)))
@click.option("--print", "only_print", is_flag=True, help="Say what would be done; do nothing.")
@click.option("--remove", is_flag=True, help="Take back what was set up.")
def setup(editor: str | None, *, only_print: bool, remove: bool) -> None:
    """Have EDITOR know Inkling; without it, list the editors of this machine.

    What is changed is shown, and what was there before is kept.
    """
    if editor is None:
        _list_editors()
        return
    plan = EDITORS[editor](this_machine())
    steps = [
        (step.remove if remove else step.apply, change)
        for step in plan.steps
        if (change := step.removal() if remove else step.change())
    ]
    backup = Backup(_backup_folder())
    for act, change in steps:
        click.echo(change)
        if not only_print:
            act(backup)
    for path in backup.kept:
        click.echo(f"kept what was there: {path}")
    if not steps:
        click.echo(f"{editor}: there is nothing to {'remove' if remove else 'change'}")
    if not remove:
        click.echo(plan.afterwards)


def _backup_folder() -> Path:
    now = datetime.now().astimezone()
    return platformdirs.user_state_path("inkling") / "backups" / f"{now:%Y-%m-%d %H-%M-%S}"


def _list_editors() -> None:
    table = Table("editor", "program", "Inkling")
    for editor in find_editors(Path.home()):
        state = f"set up in {editor.where}" if editor.is_set_up else "not set up"
        table.add_row(editor.name, editor.command, state)
    Console().print(table)
    click.echo(f"`inkling setup EDITOR` does it for one of {', '.join(EDITORS)}")
