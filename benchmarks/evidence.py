"""How much other texts are to be believed: `python -m benchmarks.evidence FILE [--model NAME]`.

In the rest of lines of real files that no model of ours was trained on (benchmarks.unread), asks at
each token how likely the model held it and what the other files of the package say there; FILE
keeps the figures, no text. Then fits the weights of `inference/recall/evidence.py` to all FILEs
that are given, those of each model counting alike, by gradient ascent on the likelihood.

    bits      a token: by the model alone, with the weights that are in use, with fitted ones
    held out  with weights fitted without the package that they are tried on
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict
from rich.progress import Progress

from benchmarks.engines import loaded
from benchmarks.recall import LINE_TAILS, package_of
from benchmarks.report import print_json, print_report
from benchmarks.unread import package_files, request_in, unread_files
from evaluation.holes import Hole, drawn_from
from inference.package.manifest import TOKENIZER_FILE
from inference.package.store import find_model
from inference.recall.evidence import WEIGHTS, Weights
from inference.recall.index import MAX_MATCHED, TokenIndex
from inference.runtime.tokenizer import Tokenizer
from inference.serving.local import LocalEngine

NUM_STEPS: Final = 5_000
STEP: Final = 0.3
TINY: Final = 1e-9
NUM_CHARACTERS: Final = 400

Floats = npt.NDArray[np.float64]


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token of a text: what the model held of it, and how often it follows elsewhere."""

    package: str
    bits: float
    likeliest_bits: float
    num_matched: int = 0
    num_places: int = 0
    agreement: float = 0.0
    share: float = 0.0


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="Ask this model, and add to the first FILE.")
@click.option("--holes", "num_each", default=20, show_default=True, help="Of each language.")
def main(files: Sequence[Path], model: str | None, num_each: int) -> None:
    if model is not None:
        sources = unread_files(30)
        holes = drawn_from(sources, LINE_TAILS, num_each, seed=1)
        asyncio.run(_collect(model, holes, files[0]))
    models = {path.stem: list(_read(path)) for path in files}
    weights = fitted(list(models.values()))
    rows = {name: _bits(tokens, weights) for name, tokens in models.items()}
    columns = ["alone", "in use", "fitted", "held out"]
    cells = {name: [f"{value:.3f}" for value in row] for name, row in rows.items()}
    print_report("bits a token", columns, cells)
    print_json("evidence", {"weights": asdict(weights), "bits": rows})


def fitted(models: Sequence[Sequence[Token]]) -> Weights:
    parts = [_arrays(tokens) for tokens in models]
    vector = np.zeros(5)
    for _ in range(NUM_STEPS):
        gradient = np.zeros(5)
        for matrix, own, other in parts:
            weight = 1 / (1 + np.exp(-matrix @ vector))
            mixed = (1 - weight) * own + weight * other + TINY
            slope = (other - own) / mixed * weight * (1 - weight)
            gradient += matrix.T @ slope / len(own) / len(parts)
        vector += STEP * (gradient - 1e-4 * vector)
    bias, matched, agreement, places, confidence = vector.round(2).tolist()
    return Weights(
        bias=bias, matched=matched, agreement=agreement, places=places, confidence=confidence
    )


def _bits(tokens: Sequence[Token], weights: Weights) -> list[float]:
    held_out = 0.0
    for package in sorted({token.package for token in tokens}):
        inside = [token for token in tokens if token.package == package]
        outside = [token for token in tokens if token.package != package]
        held_out += _sum(inside, fitted([outside])) if outside else 0.0
    sums = [sum(token.bits for token in tokens), _sum(tokens, WEIGHTS), _sum(tokens, weights)]
    return [total / len(tokens) for total in (*sums, held_out)]


def _sum(tokens: Sequence[Token], weights: Weights) -> float:
    matrix, own, other = _arrays(tokens)
    weight = 1 / (1 + np.exp(-matrix @ np.array(list(asdict(weights).values()))))
    alone = sum(token.bits for token in tokens if not token.num_matched)
    return alone - float(np.log2((1 - weight) * own + weight * other + TINY).sum())


def _arrays(tokens: Sequence[Token]) -> tuple[Floats, Floats, Floats]:
    """Return what is known of the tokens that other texts say something of, see Weights."""
    told = [token for token in tokens if token.num_matched]
    rows = [
        (
            *(1.0, np.log(token.num_matched), token.agreement),
            *(np.log(token.num_places), 2**-token.likeliest_bits),
        )
        for token in told
    ]
    own = np.array([2**-token.bits for token in told])
    return np.array(rows).reshape(-1, 5), own, np.array([token.share for token in told])


async def _collect(model: str, holes: Sequence[Hole], path: Path) -> None:
    engine = LocalEngine.open(model)
    await loaded(engine)
    tokenizer = Tokenizer.load(find_model(model).folder / TOKENIZER_FILE, named=frozenset())
    by_package = sorted(holes, key=lambda hole: package_of(hole.source))
    index, name = TokenIndex({}), ""
    with Progress() as progress, path.open("ab") as file:
        for hole in progress.track(by_package, description="asking"):
            if package_of(hole.source) != name:
                name = package_of(hole.source)
                texts = package_files({name})[name]
                index = TokenIndex(
                    {one.path: np.array(tokenizer.encode(one.text), np.int32) for one in texts}
                )
            for token in await _tokens(engine, tokenizer, index, hole):
                file.write(msgspec.json.encode(token) + b"\n")
    await engine.close()


async def _tokens(
    engine: LocalEngine, tokenizer: Tokenizer, index: TokenIndex, hole: Hole
) -> list[Token]:
    middle = hole.removed + "\n"
    score = await engine.score(
        request_in(hole.source, hole.prefix, hole.suffix, max_tokens=1), middle
    )
    before, written = tokenizer.encode(hole.prefix[-NUM_CHARACTERS:]), tokenizer.encode(middle)
    tokens = list[Token]()
    for number, token_id in enumerate(written):
        token = Token(
            package=package_of(hole.source),
            bits=score.token_bits[number],
            likeliest_bits=score.likeliest_bits[number],
        )
        history = [*before, *written[:number]][-MAX_MATCHED:]
        recalled = index.recall(history, {hole.source.path})
        if recalled is not None:
            _, counts = np.unique(recalled.following, return_counts=True)
            token = msgspec.structs.replace(
                token,
                num_matched=recalled.num_matched,
                num_places=len(recalled.following),
                agreement=float(counts.max() / counts.sum()),
                share=float((recalled.following == token_id).mean()),
            )
        tokens.append(token)
    return tokens


def _read(path: Path) -> Iterator[Token]:
    yield from map(msgspec.json.Decoder(Token).decode, path.read_bytes().splitlines())


if __name__ == "__main__":
    main()
