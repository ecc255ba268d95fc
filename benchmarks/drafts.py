"""What guessing saves: `python -m benchmarks.drafts [--model NAME]`.

At places in real files that nobody trained on (benchmarks.unread), a completion is written without
and with guesses by turns, after the same prompt was read for both; the time is that of writing
alone. Told are tokens a second, the runs that a token took, and how often guesses were right, by
drafter and by how many tokens before them spoke for them. The last line is one JSON object.
"""

import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import click
import msgspec
from rich.progress import track

from benchmarks.report import print_json, print_report, summary
from benchmarks.unread import request_in, unread_files
from evaluation.sources import Source
from inference.cancellation import CancelToken
from inference.completion import Completion, CompletionRequest
from inference.decoding.completer import Completer
from inference.decoding.drafting import Draft, Rates, Speculation
from inference.package.store import find_model
from inference.runtime.processor import num_physical_cores
from inference.serving.local import load_package
from inference.timing import now_ms

NUM_FILES_EACH: Final = 5
PLACES_PER_FILE: Final = 4


class CountedRates(Rates):
    """Also remembers how many tokens were tried and right, by kind of guess."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])

    def note(self, draft: Draft, *, is_right: bool) -> None:
        super().note(draft, is_right=is_right)
        counted = self.counted[draft.drafter, draft.num_matched]
        counted[0] += is_right
        counted[1] += 1


class Written(msgspec.Struct):
    num_tokens: int = 0
    milliseconds: float = 0.0


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--files", default=NUM_FILES_EACH, show_default=True, help="Of each language.")
@click.option("--max-tokens", default=64, show_default=True)
def main(model: str | None, rounds: int, files: int, max_tokens: int) -> None:
    """Write at real places with and without guesses."""
    loaded = load_package(find_model(model).folder, num_threads=num_physical_cores())
    speculation = Speculation()
    rates = speculation.rates = CountedRates()
    completer = Completer(loaded)
    # Guesses come first: what was written alone a moment ago would be the best of guesses.
    ways = {"with guesses": speculation, "alone": None}
    requests = [
        request for source in unread_files(files) for request in _places(source, max_tokens)
    ]
    ratios, num_same = list[float](), 0
    total = {name: Written() for name in ways}
    for number in range(rounds):
        written = {name: Written() for name in ways}
        for request in track(requests, description=f"round {number + 1}"):
            completer.read_ahead(request, CancelToken())
            found = dict[str, Completion]()
            for name, completer.speculation in ways.items():
                found[name] = completer.complete(
                    request, CancelToken(), received_ms=now_ms(), publish=lambda _: None
                )
            num_same += len({completion.text for completion in found.values()}) == 1
            for name, completion in found.items():
                for sum_of in (written[name], total[name]):
                    sum_of.num_tokens += completion.tokens.generated
                    sum_of.milliseconds += completion.timings.decode_ms
        ratios.append(_speed(written["with guesses"]) / _speed(written["alone"]))
    rows = {name: [f"{_speed(written):.1f}"] for name, written in total.items()}
    print_report("writing", ["tokens a second"], rows)
    _report_guesses(rates.counted)
    print_json(
        "drafts",
        {
            "model": loaded.name,
            "places": len(requests),
            "ratio": summary(ratios),
            "tokens_per_second": {name: _speed(written) for name, written in total.items()},
            "same_text": num_same / (rounds * len(requests)),
            "guesses": {f"{name} {n}": counted for (name, n), counted in rates.counted.items()},
        },
    )


def _places(source: Source, max_tokens: int) -> list[CompletionRequest]:
    """Return holes at the beginnings of lines that hold something, what they hold left out."""
    chooser = random.Random(source.path)  # noqa: S311 - places
    lines = source.text.split("\n")
    filled = [index for index, line in enumerate(lines) if index > 10 and line.strip()]
    requests = list[CompletionRequest]()
    for index in sorted(chooser.sample(filled, min(PLACES_PER_FILE, len(filled)))):
        indent = lines[index][: len(lines[index]) - len(lines[index].lstrip())]
        before = "\n".join([*lines[:index], indent])
        after = "\n".join(["", *lines[index + 1 :]])
        request = request_in(source, before, after, max_tokens=max_tokens)
        requests.append(msgspec.structs.replace(request, deadline_ms=600_000))
    return requests


def _speed(written: Written) -> float:
    return 1000 * written.num_tokens / max(written.milliseconds, 1e-9)


def _report_guesses(counted: Mapping[tuple[str, int], list[int]]) -> None:
    rows = {
        f"{drafter}, {num_matched} before": [f"{right / tried:.0%}", str(tried)]
        for (drafter, num_matched), (right, tried) in sorted(counted.items())
    }
    print_report("guesses", ["right", "tried"], rows)


if __name__ == "__main__":
    main()
