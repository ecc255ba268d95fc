"""Does it write a function that works? `python -m benchmarks.functions [PACKAGE...]`.

Each function is a signature and a docstring; the model writes the body, greedily, and the result is
run against tests, in the sandbox of `inkling eval`. What is written is shown, right or wrong.
"""

import asyncio
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console

from benchmarks.report import print_json, print_report
from evaluation.fill import DEADLINE_MS, MeasuredEngine, answer
from evaluation.sandbox import Isolation, Verdict, find_isolation, run_all
from inference.completion import CompletionRequest
from inference.engine import EngineState
from inference.package.store import embedded_folder
from inference.serving.local import LocalEngine

MAX_TOKENS: Final = 96


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """`prompt` ends where the body begins; `test` raises AssertionError where it is wrong."""

    name: str
    prompt: str
    test: str


# In a function of its own, so that none of its names is seen by what is tested.
REVERSED: Final = """
def check(candidate):
    for case in ("", "a", "ab", "hello world", "  x", "naïve 🎉"):
        assert candidate(case) == "".join(reversed(case)), case

check({name})
"""

FUNCTIONS: Final = (
    Function(
        name="reverse_string",
        prompt='def reverse_string(s):\n    """Return the string s reversed."""\n    ',
        test=REVERSED.format(name="reverse_string"),
    ),
    Function(
        name="reverse",
        prompt=(
            'def reverse(text: str) -> str:\n    """Write a function that reverses a string.\n\n'
            '    >>> reverse("abc")\n    \'cba\'\n    """\n    '
        ),
        test=REVERSED.format(name="reverse"),
    ),
    Function(
        name="backwards",
        prompt=(
            "def backwards(value: str) -> str:\n"
            '    """Give the characters of `value` back in the opposite order."""\n    return '
        ),
        test=REVERSED.format(name="backwards"),
    ),
)


class Written(msgspec.Struct, frozen=True):
    function: str
    body: str
    verdict: Verdict


async def write_all(
    engine: MeasuredEngine, functions: Sequence[Function], isolation: Isolation
) -> list[Written]:
    """Let the engine write each body, then run it. Raises EvaluationError where it fails."""
    bodies = [await _body(engine, function) for function in functions]
    programs = [
        f"{function.prompt}{body}\n{function.test}"
        for function, body in zip(functions, bodies, strict=True)
    ]
    verdicts = run_all(programs, isolation, num_workers=1, advance=lambda: None)
    return [
        Written(function.name, body, verdict)
        for function, body, verdict in zip(functions, bodies, verdicts, strict=True)
    ]


async def _body(engine: MeasuredEngine, function: Function) -> str:
    request = CompletionRequest(
        document=f"file:///{function.name}.py",
        prefix=function.prompt,
        suffix="\n",
        language="python",
        scope="block",
        max_tokens=MAX_TOKENS,
        deadline_ms=DEADLINE_MS,
    )
    return (await answer(engine, request)).text


async def _measure(package: Path, isolation: Isolation) -> list[Written]:
    engine = LocalEngine.open(str(package))
    try:
        status = await engine.wait_ready()
        if status.state is not EngineState.READY:
            raise click.ClickException(f"{package} cannot be loaded: {status.message}")
        return await write_all(engine, FUNCTIONS, isolation)
    finally:
        await engine.close()


@click.command()
@click.argument("packages", nargs=-1, type=click.Path(path_type=Path))
def main(packages: tuple[Path, ...]) -> None:
    """Write and run the functions with PACKAGES, or with the model that ships."""
    isolation = find_isolation()
    figures: dict[str, object] = {}
    for package in packages or (embedded_folder(),):
        written = asyncio.run(_measure(package, isolation))
        rows = {
            each.function: (each.verdict.value, textwrap.shorten(each.body, 80)) for each in written
        }
        print_report(package.name, ("verdict", "written"), rows)
        for function, each in zip(FUNCTIONS, written, strict=True):
            Console(highlight=False).print(f"{function.prompt}{each.body}\n", markup=False)
        figures[package.name] = msgspec.to_builtins(written)
    print_json("functions", {"packages": figures})


if __name__ == "__main__":
    main()
