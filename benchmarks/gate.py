"""How well it is told what to withhold: `python -m benchmarks.gate [--model NAME]`.

In real files of four languages that no model of ours was trained on (benchmarks.unread), takes away
the rest of a line behind a place in it, asks as the language server does, and says of each answer
whether its first line is the one that stood there. `--keep FILE` keeps answers' figures, so that a
run goes on where it was; no text is kept.

    wrong   answers whose first line is not what stood there
    curve   share of the wrong ones that are withheld, by the share of right ones that are too

The curve is of packages that the weights were not fitted on: each package is judged by weights from
the others. `--write CLASS` writes the weights that all of them give into the policy's priors.toml.
"""

import asyncio
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final, cast

import click
import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.kept import Kept
from benchmarks.plots import draw_curves
from benchmarks.report import print_json, print_report
from benchmarks.unread import request_in, unread_files
from evaluation.sources import Source
from inference import EngineOptions, open_engine
from lsp_server.policy.evidence import FIELDS, Evidence, evidence
from lsp_server.settings import Settings

PRIORS: Final = Path(str(resources.files("lsp_server.policy") / "priors.toml"))
HOLES_EACH: Final = 10
SHARES_OF_RIGHT: Final = {"eager": 0.02, "balanced": 0.08, "quiet": 0.25}
"""Of the right answers, how many each level withholds."""
SHOWN_SHARES: Final = (0.02, 0.05, 0.08, 0.1, 0.15, 0.25, 0.4)
PAUSE: Final = re.compile(r"(?<=\n)[ \t]*(?=\S)|\w(?=\W)|[(,=.:]+ ?")
RIDGE: Final = 1.0
NUM_STEPS: Final = 25

Floats = npt.NDArray[np.float64]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `place` is the number of characters before it."""

    path: str
    place: int
    language: str
    is_right: bool
    evidence: Evidence

    @property
    def package(self) -> str:
        return self.path.partition("/")[0]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A place that was asked at; `judged` is None where nothing was answered."""

    path: str
    place: int
    judged: Judged | None = None


@click.command()
@click.option("--model", help="A name or folder; the one in use if not given.")
@click.option("--files", "num_files", default=30, show_default=True, help="Of each language.")
@click.option("--keep", type=click.Path(dir_okay=False, path_type=Path), help="Goes on from it.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="SVG of the curve.")
@click.option("--write", "model_class", help="Write the weights for this class of models.")
def main(
    model: str | None, num_files: int, keep: Path | None, plot: Path | None, model_class: str | None
) -> None:
    asked = asyncio.run(_ask(model, unread_files(num_files), keep))
    judged = [place.judged for place in asked if place.judged is not None]
    scores = held_out_scores(judged)
    right: npt.NDArray[np.bool_] = np.array([answer.is_right for answer in judged])
    thresholds = {share: float(np.quantile(scores[right], share)) for share in SHOWN_SHARES}
    withheld = {share: float((scores[~right] < at).mean()) for share, at in thresholds.items()}
    rows = {
        f"{share:.0%} of right": [f"{withheld[share]:.1%}", f"{_odds_to_share(at):.3f}"]
        for share, at in thresholds.items()
    }
    title = f"{len(asked)} places, {len(judged)} answers, {right.mean():.1%} of them right"
    print_report(title, ["of wrong withheld", "probability"], rows)
    weights = fitted(_matrix(judged), right)
    print_report(
        "weights", ["weight"], {name: [f"{weight:+.2f}"] for name, weight in weights.items()}
    )
    if plot is not None:
        shares = [percent / 100 for percent in range(101)]
        quantiles = [float(np.quantile(scores[right], share)) for share in shares]
        heights = [float((scores[~right] < at).mean()) for at in quantiles]
        draw_curves(
            plot,
            {model or "in use": (shares, heights), "by chance": (shares, shares)},
            across="share of right answers withheld",
            up="share of wrong ones withheld",
        )
    if model_class is not None:
        write_prior(model_class, weights, scores[right])
    figures = {"places": len(asked), "answers": len(judged), "right": float(right.mean())}
    print_json("gate", {**figures, "withheld": {f"{share}": withheld[share] for share in withheld}})


async def _ask(model: str | None, sources: Sequence[Source], keep: Path | None) -> list[Asked]:
    kept = Kept(keep, Asked, lambda one: (one.path, one.place))
    engine = open_engine(EngineOptions(model=model))
    await loaded(engine)
    settings, asked = Settings(), list[Asked]()
    with Progress() as progress:
        for source in progress.track(sources, description="answering"):
            for place in places(source):
                known = kept.get((source.path, place))
                if known is None:
                    before, rest = source.text[:place], source.text[place:]
                    removed, _, below = rest.partition("\n")
                    request = replace(
                        request_in(source, before, "\n" + below, max_tokens=settings.max_tokens),
                        first_text_ms=settings.first_text_ms,
                        deadline_ms=settings.deadline_ms,
                    )
                    completion = await engine.complete(request)
                    judged = None
                    if completion.text:
                        judged = Judged(
                            path=source.path,
                            place=place,
                            language=source.language,
                            is_right=is_right(completion.text, f"{removed}\n{below}"),
                            evidence=evidence(request, completion),
                        )
                    known = kept.add(Asked(path=source.path, place=place, judged=judged))
                asked.append(known)
    await engine.close()
    return asked


def places(source: Source) -> list[int]:
    """Return places at which somebody who types pauses: behind a word or mark, or a line's indent.

    In their order, so that an engine that keeps what it read has to read little of each.
    """
    chooser = random.Random(source.path)  # noqa: S311 - a sample of places
    found = [match.end() for match in PAUSE.finditer(source.text)]
    return sorted(chooser.sample(found, min(HOLES_EACH, len(found))))


def is_right(text: str, stood: str) -> bool:
    """Say whether the first line that a text shows is the one that stood there."""
    shown, wanted = _first_line(text), _first_line(stood)
    return shown == wanted


def _first_line(text: str) -> tuple[int, str]:
    """Return the first line that is not empty, and on which line it stands."""
    lines = text.split("\n")
    return next(
        ((number, line.strip()) for number, line in enumerate(lines) if line.strip()), (0, "")
    )


def held_out_scores(judged: Sequence[Judged]) -> Floats:  # [num_judged]
    """Return the log odds of each answer under weights from other packages' answers."""
    matrix = _matrix(judged)
    right = np.array([answer.is_right for answer in judged])
    packages = np.array([answer.package for answer in judged])
    scores = np.zeros(len(judged))
    for package in np.unique(packages):
        is_held_out = packages == package
        weights = fitted(matrix[~is_held_out], right[~is_held_out])
        scores[is_held_out] = _scores(matrix[is_held_out], weights)
    return scores


def fitted(matrix: Floats, right: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return the weights of a logistic regression by Newton's method, with a small ridge."""
    columns = np.column_stack([np.ones(len(matrix)), matrix])
    penalty = RIDGE * np.diag([0.0] + [1.0] * matrix.shape[1])
    weights = np.zeros(columns.shape[1])
    for _ in range(NUM_STEPS):
        share = 1 / (1 + np.exp(-columns @ weights))
        gradient = columns.T @ (right - share) - penalty @ weights
        hessian = (columns.T * (share * (1 - share))) @ columns + penalty
        weights += np.linalg.solve(hessian, gradient)
    return dict(zip(("bias", *FIELDS), weights.tolist(), strict=True))


def write_prior(model_class: str, weights: Mapping[str, float], right_scores: Floats) -> None:
    """Replace the class's weights in priors.toml, and its thresholds by the levels' shares."""
    priors = tomllib.loads(PRIORS.read_text("utf-8"))
    prior = priors[model_class]
    prior["bias"] = weights["bias"]
    prior["weights"] = {name: weights[name] for name in FIELDS}
    prior["thresholds"] = {
        level: _odds_to_share(float(np.quantile(right_scores, share)))
        for level, share in SHARES_OF_RIGHT.items()
    }
    head = PRIORS.read_text("utf-8").partition("\n\n")[0]
    tables = "\n".join(_as_table(name, table) for name, table in priors.items())
    PRIORS.write_text(f"{head}\n\n{tables}", "utf-8")


def _as_table(name: str, prior: Mapping[str, object]) -> str:
    lines = [f"[{name}]"]
    for key, value in prior.items():
        if isinstance(value, dict):
            items = cast("dict[str, float]", value)
            lines += [f"[{name}.{key}]", *(f"{k} = {v:.4f}" for k, v in items.items())]
        else:
            lines.append(f"{key} = {value:.4f}" if key == "bias" else f"{key} = {value}")
    return "\n".join(lines) + "\n"


def _matrix(judged: Sequence[Judged]) -> Floats:  # [num_judged, num_fields]
    return np.array([[getattr(answer.evidence, name) for name in FIELDS] for answer in judged])


def _scores(matrix: Floats, weights: Mapping[str, float]) -> Floats:
    return weights["bias"] + matrix @ np.array([weights[name] for name in FIELDS])


def _odds_to_share(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))


if __name__ == "__main__":
    main()
