"""`inkling model`: models by name, from a list to an answer."""

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from export.catalogue.entries import Entry, catalogue, find_entry
from export.catalogue.install import Added, add_model, remove_model
from export.catalogue.local import local_models
from export.catalogue.measure import bytes_per_second, line_ms, proposal
from inference.errors import ModelNotFoundError
from inference.package.manifest import read_manifest
from inference.package.store import (
    EMBEDDED,
    choose,
    embedded_folder,
    find_model,
    installed,
    installed_folder,
)


@click.group()
def model() -> None:
    """Add, choose and remove the models that complete."""


@model.command("list")
@click.option(
    "--local",
    "is_local",
    is_flag=True,
    help="Show what Ollama, LM Studio, llama.cpp and the hub's client have fetched here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(*, is_local: bool, as_json: bool) -> None:
    """Show what is installed and what can be added."""
    if is_local:
        _list_local(as_json=as_json)
        return
    rows = _rows()
    if as_json:
        click.echo(msgspec.json.encode(rows).decode())
        return
    table = Table("", "name", "parameters", "active", "memory", "holes", "licence", "state")
    for row in rows:
        table.add_row(*(str(row[column]) for column in _COLUMNS))
    Console().print(table)


def _list_local(*, as_json: bool) -> None:
    found = local_models()
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    if not found:
        click.echo("no model of Ollama, LM Studio, llama.cpp or the hub's client is here")
        return
    table = Table("", "source", "size", "architecture", "stored as", "state")
    for local in found:
        state = local.problem or f"can be added ({local.family})"
        architecture = local.architecture or ""
        size = f"{local.num_bytes / 1e6:.0f} MB"
        table.add_row(local.where, local.source, size, architecture, local.stored_as or "", state)
    Console().print(table)


@model.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(name: str, *, as_json: bool) -> None:
    """Tell what is known of a model, installed or not."""
    told = _info(name)
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
        return
    table = Table(title=name, show_header=False)
    for key, value in told.items():
        table.add_row(key.replace("_", " "), str(value))
    Console().print(table)


@model.command()
@click.argument("source", required=False)
@click.option("--name", help="What it is called here; default its own name.")
@click.option("--use/--no-use", default=True, help="Have it answer from now on (default).")
@click.option("--yes", is_flag=True, help="Without SOURCE: add what is proposed, do not ask.")
def add(source: str | None, *, name: str | None, use: bool, yes: bool) -> None:
    """Install a model: a name of `inkling model list`, or anything that `inkling export` takes.

    Without SOURCE the machine is measured for a second, and the best model that answers in time is
    proposed.
    """
    if source is None:
        source = _proposed(ask=not yes)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking", total=None)

        def report(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        def say(line: str) -> None:
            bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

        added = add_model(source, name=name, report=report, remark=say)
    if use:
        choose(added.name)
    click.echo(_told(added, is_used=use))


@model.command("use")
@click.argument("name")
def use_model(name: str) -> None:
    """Have an installed model answer; "embedded" is the one that ships.

    Editors that are open follow by themselves.
    """
    choose(name)
    click.echo(f"{name} answers from now on")


@model.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove an installed model."""
    was_used = remove_model(name)
    if was_used:
        choose(EMBEDDED)
    click.echo(f"{name} is removed" + ("; the model that ships answers now" if was_used else ""))


@model.command()
@click.argument("name", required=False)
def where(name: str | None) -> None:
    """Print the folder of a model; without NAME that of the one that answers."""
    click.echo(find_model(name).folder)


_COLUMNS = ("mark", "name", "parameters", "active", "memory", "holes", "licence", "state")


def _rows() -> list[dict[str, str]]:
    answering = find_model().folder
    rows = [_installed_row(EMBEDDED, embedded_folder(), answering)]
    there = installed()
    for name in there:
        folder = installed_folder(name)
        assert folder is not None
        rows.append(_installed_row(name, folder, answering))
    return rows + [_row(entry) for entry in catalogue() if entry.name not in there]


def _installed_row(name: str, folder: Path, answering: Path) -> dict[str, str]:
    manifest, entry = read_manifest(folder), find_entry(name)
    return {
        "mark": "*" if folder == answering else "",
        "name": name,
        "parameters": _count(manifest.parameters.total),
        "active": _count(manifest.parameters.active),
        "memory": f"{manifest.num_bytes / 1e6:.0f} MB",
        "holes": "no" if manifest.fim is None else "yes",
        "licence": entry.licence if entry else "",
        "state": "installed",
    }


def _row(entry: Entry) -> dict[str, str]:
    return {
        "mark": "",
        "name": entry.name,
        "parameters": _count(entry.parameters),
        "active": _count(entry.active),
        "memory": f"{entry.memory} MB",
        "holes": "yes" if entry.fills_holes else "no",
        "licence": entry.licence,
        "state": "can be added" if entry.tried else "can be added; not tried by us",
    }


def _info(name: str) -> dict[str, object]:
    entry, folder = find_entry(name), installed_folder(name)
    if entry is None and folder is None and name != EMBEDDED:
        raise ModelNotFoundError(f"no model {name}; `inkling model list` shows what there is")
    known: dict[str, object] = {} if entry is None else msgspec.to_builtins(entry)
    known.pop("wheels", None)
    folder = embedded_folder() if name == EMBEDDED else folder
    if folder is None:
        return known
    manifest = read_manifest(folder)
    return known | {
        "folder": str(folder),
        "precision": manifest.precision,
        "block_size": manifest.block_size,
        "order": None if manifest.fim is None else manifest.fim.order,
        "quality": manifest.quality,
    }


def _proposed(*, ask: bool) -> str:
    rate = bytes_per_second()
    entry = proposal(rate)
    click.echo(
        f"memory is read at {rate / 1e9:.0f} GB/s here, so {entry.title} writes a line in about "
        f"{line_ms(entry, rate):.0f} ms"
    )
    if ask and not click.confirm(f"add {entry.name}?", default=True):
        raise click.Abort
    return entry.name


def _told(added: Added, *, is_used: bool) -> str:
    stages = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in added.seconds.items())
    size = added.manifest.num_bytes / 1e6
    agreement = added.manifest.quality["agreement"]
    hint = f"is installed, and `inkling model use {added.name}` has it answer"
    state = "answers from now on" if is_used else hint
    return (
        f"{added.name} {state}: {size:.0f} MB, {agreement:.0%} of next tokens as the "
        f"checkpoint's ({stages})"
    )


def _count(number: int) -> str:
    return f"{number / 1e9:.1f}B" if number >= 1e9 else f"{number / 1e6:.0f}M"
