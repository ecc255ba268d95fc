"""The commands with which Inkling explains itself: explain, stats, audit and doctor."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lsp_server.insight import explain as words
from lsp_server.insight.journal import NUM_REMEMBERED, erase, last_requests, state_folder
from lsp_server.insight.journal import read_journal as read
from lsp_server.insight.page import page, percent
from lsp_server.insight.stats import DAY_SECONDS, Statistics, Suggested, statistics

MARKS: Final = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "red")}

NOTHING: Final = "nothing is written down yet; editors that use Inkling fill {folder}"

as_json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.option(
    "--last",
    default=20,
    show_default=True,
    type=click.IntRange(1, NUM_REMEMBERED),
    help="So many requests, the newest last.",
)
@as_json_option
def explain(*, last: int, as_json: bool) -> None:
    """Show what became of the last requests for a completion, and why."""
    requests = last_requests(state_folder(), last)
    if as_json:
        _print_json([words.as_json(record) for record in requests])
        return
    if not requests:
        click.echo(NOTHING.format(folder=state_folder()))
        return
    _print_table(words.COLUMNS, map(words.cells, requests))


@click.command()
@click.option(
    "--since", "days", metavar="DAYS", type=click.FloatRange(0), help="Only so many days."
)
@as_json_option
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write one page with plots.",
)
@click.option("--reset", is_flag=True, help="Forget everything that was counted.")
def stats(*, days: float | None, as_json: bool, html: Path | None, reset: bool) -> None:
    """Count what was shown, accepted and kept, how fast, and why there was nothing."""
    folder = state_folder()
    if reset:
        click.echo(f"{erase(folder)} files removed from {folder}")
        return
    since = time.time() - days * DAY_SECONDS if days is not None else 0.0
    counted = statistics(read(folder), since=since)
    if html is not None:
        html.write_text(page(counted), "utf-8")
        click.echo(f"{html} is written")
    elif as_json:
        _print_json(counted)
    elif counted.since is None:
        click.echo(NOTHING.format(folder=folder))
    else:
        _show_statistics(counted)


@click.command()
@as_json_option
def audit(*, as_json: bool) -> None:
    """Show what Inkling reads, writes and talks to on this machine."""
    from lsp_server.insight import audit as look  # late: asks for processes

    found = look.audit()
    if as_json:
        _print_json(found)
        return
    _print_table(
        ("time", "document", "language", "characters before", "behind", "documents", "outcome"),
        (
            (
                words.moment(r.time),
                r.document,
                r.language,
                f"{r.read_before:,}",
                f"{r.read_after:,}",
                f"{r.num_documents}",
                r.outcome,
            )
            for r in found.requests
        ),
        title="Read for the last requests; documents go by a hash of this machine's",
    )
    _print_table(
        ("file", "bytes", "mode"),
        ((file.path, f"{file.num_bytes:,}", file.mode) for file in found.files),
        title="Written, in " + ", ".join(found.folders.values()),
    )
    _print_table(
        ("process", "command", "sockets"),
        (
            (str(p.process_id), p.command, "; ".join(p.sockets or ()) or _no_sockets(p.sockets))
            for p in found.processes
        ),
        title="Running",
    )
    variables = found.environment.items()
    _print_table(("variable", "value"), variables, title="Environment that matters")
    click.echo(f"Telemetry: {found.telemetry}.")
    click.echo(f"Sockets to other machines or programs: {found.num_sockets or 'none'}.")


@click.command()
@click.option(
    "--model",
    envvar="INKLING_MODEL",
    help="A name of `inkling model list`, or a package's folder; default the one in use.",
)
@as_json_option
def doctor(*, model: str | None, as_json: bool) -> None:
    """Check that everything works here; exit with 1 where something does not."""
    from lsp_server.insight.doctor import diagnose  # late: loads onnxruntime

    diagnosis = diagnose(model)
    if as_json:
        _print_json(diagnosis)
    else:
        console = _console()
        for check in diagnosis.checks:
            mark, colour = MARKS[check.verdict]
            line = Text.assemble(
                (f"{mark:>7}  ", colour), (check.name, "bold"), f"  {check.finding}"
            )
            console.print(line)
            if check.advice:
                console.print(Text(f"         -> {check.advice}", style="dim"))
    sys.exit(0 if diagnosis.is_well else 1)


def _show_statistics(counted: Statistics) -> None:
    total = counted.total
    click.echo(
        f"{counted.requests:,} requests, {total.shown:,} suggestions shown; accepted "
        f"{total.accepted:,} and in part {total.partly:,} ({percent(total.accept_rate)} of shown, "
        f"{percent(total.accept_rate_stood)} of those that stood for 0.3 s); "
        f"{total.characters_accepted:,} characters, {percent(total.kept_30s)} of them kept after "
        f"30 s and {percent(total.kept_5min)} after 5 min"
    )
    for title, groups in (("language", counted.by_language), ("model", counted.by_model)):
        _print_table(
            (
                title,
                "shown",
                "accepted",
                "in part",
                "rate",
                "characters",
                "kept 30 s",
                "kept 5 min",
            ),
            (_group_cells(name, group) for name, group in groups.items()),
        )
    _print_table(
        ("stage", "count", "half within, ms", "95 % within, ms"),
        (
            (name, f"{spread.count:,}", f"{spread.p50:.1f}", f"{spread.p95:.1f}")
            for name, spread in counted.latency.items()
        ),
    )
    _print_table(("who knew the text", "shown", "share"), _shares(counted.origins, words.ORIGINS))
    reasons = {name: words.reason(name) for name in counted.outcomes}
    _print_table(("what became of requests", "count", "share"), _shares(counted.outcomes, reasons))


def _group_cells(name: str, group: Suggested) -> tuple[str, ...]:
    return (
        name,
        f"{group.shown:,}",
        f"{group.accepted:,}",
        f"{group.partly:,}",
        percent(group.accept_rate),
        f"{group.characters_accepted:,}",
        percent(group.kept_30s),
        percent(group.kept_5min),
    )


def _shares(counts: Mapping[str, int], named: Mapping[str, str]) -> Iterable[tuple[str, ...]]:
    total = sum(counts.values())
    return (
        (named.get(name, name), f"{count:,}", percent(count / total))
        for name, count in counts.items()
    )


def _no_sockets(sockets: list[str] | None) -> str:
    return "cannot be looked at" if sockets is None else "none but its pipes"


def _print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def _print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None
) -> None:
    """Print cells as they are: what looks like markup in them is text."""
    table = Table(*columns, title=title, title_justify="left", box=None, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if table.row_count:
        _console().print(table)
        click.echo()


def _console() -> Console:
    """Return a console as wide as the terminal, and wide where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=200)
