"""`inkling complete`: one completion from the command line, through the engine editors use."""

import asyncio
import re
from pathlib import Path
from typing import Final, get_args

import click
import msgspec
from rich.console import Console
from rich.text import Text

from inference.completion import Completion, CompletionRequest, Scope, within_bounds
from inference.engine import EngineState, EngineStatus
from inference.errors import EngineUnavailableError, InvalidRequestError
from inference.languages import language_id_of
from inference.package.manifest import Device
from inference.serving.local import LocalEngine

PLACE: Final = re.compile(r"(?P<file>.+):(?P<line>\d+):(?P<column>\d+)")
SHOWN_LINES: Final = 14


class Hole(msgspec.Struct, frozen=True):
    """What stands before and after the cursor, and what was taken out between, if anything."""

    path: str
    prefix: str
    suffix: str
    removed: str


@click.command()
@click.argument("place", metavar="FILE:LINE:COLUMN")
@click.option("--until", metavar="LINE:COLUMN", help="Take out the text up to here first.")
@click.option(
    "--model",
    envvar="INKLING_MODEL",
    help="A name of `inkling model list`, or a package's folder; default the one in use.",
)
@click.option("--device", default="cpu", show_default=True, type=click.Choice(get_args(Device)))
@click.option("--max-tokens", default=64, show_default=True, type=click.IntRange(1, 512))
@click.option("--scope", default="auto", show_default=True, type=click.Choice(get_args(Scope)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--show", is_flag=True, help="Print the file around the hole, filled, and the times.")
def complete(  # noqa: PLR0913 - one parameter an option
    *,
    place: str,
    until: str | None,
    model: str | None,
    device: Device,
    max_tokens: int,
    scope: Scope,
    as_json: bool,
    show: bool,
) -> None:
    """Complete the hole at FILE:LINE:COLUMN; both count from 1, as editors show them."""
    hole = read_hole(place, until)
    request = request_for(hole, scope=scope, max_tokens=max_tokens)
    status, completion = asyncio.run(complete_once(model, request, device=device))
    if as_json:
        click.echo(msgspec.json.encode({"model": status.model, **_as_dict(completion)}))
    elif show:
        show_completion(Console(), hole, completion, status)
    else:
        click.echo(completion.text)


def read_hole(place: str, until: str | None = None) -> Hole:
    """Read FILE and cut it at LINE:COLUMN.

    Raises InvalidRequestError where the place is no place, the file cannot be read as UTF-8, or
    the position lies outside it.
    """
    match = PLACE.fullmatch(place)
    if match is None:
        raise InvalidRequestError(f"{place!r} is no place; write FILE:LINE:COLUMN, as in a.py:3:9")
    path = Path(match["file"])
    text = _read_text(path)
    start = offset_at(text, f"{match['line']}:{match['column']}", path)
    end = offset_at(text, until, path) if until else start
    if end < start:
        raise InvalidRequestError(f"--until {until} stands before {place}; swap them")
    return Hole(str(path), text[:start], text[end:], text[start:end])


def request_for(hole: Hole, *, scope: Scope, max_tokens: int) -> CompletionRequest:
    """Ask as the language server asks, but with all the time that the answer takes."""
    prefix, suffix, num_skipped = within_bounds(hole.prefix, hole.suffix)
    return CompletionRequest(
        document=hole.path,
        prefix=prefix,
        suffix=suffix,
        num_skipped=num_skipped,
        language=language_id_of(hole.path),
        scope=scope,
        max_tokens=max_tokens,
        deadline_ms=60_000,
    )


def offset_at(text: str, position: str, path: Path) -> int:
    """Return the offset of LINE:COLUMN, counted from 1; the end of a line is one behind it."""
    match = re.fullmatch(r"(\d+):(\d+)", position)
    if match is None:
        raise InvalidRequestError(f"{position!r} is no position; write LINE:COLUMN, as in 3:9")
    line, column = int(match[1]), int(match[2])
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        raise InvalidRequestError(f"{path} has {len(lines)} lines; line {line} is outside it")
    length = len(lines[line - 1].removesuffix("\r"))
    if not 1 <= column <= length + 1:
        raise InvalidRequestError(
            f"line {line} of {path} has {length} characters; column {column} is outside it"
        )
    return sum(len(before) + 1 for before in lines[: line - 1]) + column - 1


def _read_text(path: Path) -> str:
    try:
        # newline="" keeps \r\n, which is what an editor would send
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except OSError as error:
        raise InvalidRequestError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"{path} is not UTF-8 at byte {error.start}; convert it first"
        ) from error


async def complete_once(
    model: str | None, request: CompletionRequest, *, device: Device = "cpu"
) -> tuple[EngineStatus, Completion]:
    """Load a package, answer one request, and close. Raises EngineUnavailableError."""
    engine = LocalEngine.open(model, device=device)
    try:
        status = await engine.wait_ready()
        if status.state is not EngineState.READY:
            raise EngineUnavailableError(status.message)
        return status, await engine.complete(request)
    finally:
        await engine.close()


def _as_dict(completion: Completion) -> dict[str, object]:
    fields = msgspec.to_builtins(completion)
    timings = fields["timings"]
    fields["tokens_per_second"] = round(tokens_per_second(completion), 1)
    fields["timings"] = {name: round(value, 3) for name, value in timings.items()}
    return fields


def tokens_per_second(completion: Completion) -> float:
    """Return the rate of decoding; the first token belongs to reading, not to it."""
    num_decoded = max(0, completion.tokens.generated - 1)
    return 1000 * num_decoded / completion.timings.decode_ms if num_decoded else 0.0


def show_completion(
    console: Console, hole: Hole, completion: Completion, status: EngineStatus
) -> None:
    """Print the file around the hole with the completion in place, and where the time went."""
    before = "\n".join(hole.prefix.split("\n")[-SHOWN_LINES:])
    after = "\n".join(hole.suffix.split("\n")[: SHOWN_LINES // 2])
    tokens, timings = completion.tokens, completion.timings
    console.rule(f"{hole.path}, completed by {status.model}")
    console.print(Text.assemble(before, (completion.text, "italic green"), after))
    console.rule()
    if hole.removed:
        console.print(Text.assemble("taken out: ", (hole.removed.strip(), "dim")))
    console.print(
        f"first token after {timings.first_token_ms:.1f} ms, all after {timings.total_ms:.1f} ms; "
        f"{tokens.prompt} tokens read, {tokens.generated} written at "
        f"{tokens_per_second(completion):.0f} tokens/s ({completion.finish_reason})"
    )
