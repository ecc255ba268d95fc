"""What the heads of a large vocabulary cost: `python -m benchmarks.head CHECKPOINT`.

The checkpoint reads held-out code in float32, and each head is given what comes out of its last
norm. It prints a table and, as its last line, one JSON object; `--write` puts the table into
docs/quantization.md.

    megabytes    what scoring one token reads
    changed      positions whose likeliest token is not that of the exact product with the rows that
                 the package holds in 8 bits
    deepest      the lowest rank that coarse scores give such a token, of all positions
    ms           median time of scoring one token, the heads in turns
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import msgspec
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from benchmarks.quality import DOCUMENT, WINDOW, held_out_text
from benchmarks.report import print_json, print_report, write_table
from export.graph.builder import GraphBuilder
from export.graph.data_file import DataFile
from export.graph.layers.embedding import table
from export.graph.layers.head import NUM_SCORED_AGAIN, refined_head
from export.options import ExportOptions
from export.original import open_slots, read_original
from export.quality.gate import states_of
from export.quantization.blockwise import Quantized, dequantize, quantize
from export.spec.oracle import Slots, normalize_last
from inference.package.manifest import MODEL_FILE, TOKENIZER_FILE
from inference.runtime.onnx import OnnxGraph
from inference.runtime.tokenizer import Tokenizer

COMMAND: Final = "python -m benchmarks.head CHECKPOINT --write"
NUM_ROUNDS: Final = 10
TURN: Final = 8
SPINNING_S: Final = 0.2
"""Threads of a head that is done go on spinning for a while, and would be in the next one's way."""

CHUNK: Final = 16

Array = npt.NDArray[np.float32]


class Kind(msgspec.Struct, frozen=True):
    """`block_size` None is the whole head in 8 bits; `again` how many tokens are scored again."""

    block_size: int | None
    again: int = NUM_SCORED_AGAIN


KINDS: Final[Mapping[str, Kind]] = {
    "whole, 8 bits": Kind(None),
    "4 bits in blocks of 128, no token again": Kind(128, 0),
    "4 bits in blocks of 128, the best 16 again": Kind(128),
    "4 bits in blocks of 64, the best 16 again": Kind(64),
    "4 bits in blocks of 32, the best 16 again": Kind(32),
}


@click.command()
@click.argument("checkpoint")
@click.option("--tokens", default=20_000, show_default=True, help="Tokens of code to read.")
@click.option("--write", is_flag=True, help="Put the table into docs/quantization.md.")
def main(checkpoint: str, tokens: int, write: bool) -> None:
    states, rows = read(checkpoint, tokens)
    exact = dequantize(rows)
    best = np.concatenate([(part @ exact.T).argmax(axis=1) for part in _chunks(states, 250)])
    with TemporaryDirectory() as folder:
        heads = {
            name: _Head(Path(folder) / str(index), kind, rows, exact)
            for index, (name, kind) in enumerate(KINDS.items())
        }
        del exact
        times = _times(heads, states)
        figures = {
            name: {
                "megabytes": round(head.num_bytes / 1e6, 1),
                **_differences(head, states, best),
                "ms": round(statistics.median(times[name]), 2),
            }
            for name, head in heads.items()
        }
    columns = list(next(iter(figures.values())))
    cells = {name: [str(value) for value in row.values()] for name, row in figures.items()}
    print_report(f"{len(states)} tokens of held-out code", columns, cells)
    if write:
        title = f"`{Path(checkpoint).name}`, {len(states)} tokens of held-out code."
        write_table(DOCUMENT, COMMAND, title, columns, cells)
    print_json("head", {"tokens": len(states), "rows": rows.shape[0], "heads": figures})


def read(checkpoint: str, num_tokens: int) -> tuple[Array, Quantized]:
    """Return what the head is given after each token, and its rows as a package holds them."""
    original = read_original(checkpoint, ExportOptions())
    values, spec = open_slots(original.source, original.architecture).values, original.spec
    tokenizer = Tokenizer.load(original.folder / TOKENIZER_FILE)
    text = held_out_text(tokenizer, original.identity.eos_token_ids[0], num_tokens, WINDOW)
    with Console(stderr=True).status("reading"):
        last = normalize_last(spec, Slots(values, np.float32), states_of(spec, values, text))
    states = np.ascontiguousarray(last, np.float32)
    matrix = values["embedding" if spec.tie_word_embeddings else "head"]
    return states, quantize(matrix, bits=8, block_size=32)


class _Head:
    """A graph that holds nothing but a head."""

    def __init__(self, folder: Path, kind: Kind, rows: Quantized, exact: Array) -> None:
        self._kind = kind
        folder.mkdir()
        with (folder / "model.onnx.data").open("wb") as data:
            graph = GraphBuilder(DataFile(data))
            x = graph.input("x", np.float32, ["rows", exact.shape[1]])
            whole = table(graph, rows)
            if kind.block_size is None:
                scores, read = whole.product(x), rows
            else:
                read = quantize(exact, bits=4, block_size=kind.block_size, num_candidates=1)
                scores = refined_head(graph, read, whole, x, num_scored_again=kind.again)
            graph.output("logits", scores, np.float32, ["rows", rows.shape[0]])
        graph.save(folder / MODEL_FILE)
        again = 0 if kind.block_size is None else kind.again * exact.shape[1]
        self.num_bytes = read.data.nbytes + read.scales.nbytes + again
        self._graph = OnnxGraph((folder / MODEL_FILE).read_bytes(), folder)

    def scores(self, x: Array) -> Array:
        (logits,) = self._graph.run(["logits"], {"x": x})
        return logits


def _times(heads: Mapping[str, _Head], states: Array) -> Mapping[str, Sequence[float]]:
    found: dict[str, list[float]] = {name: [] for name in heads}
    for rows in _chunks(states[: NUM_ROUNDS * TURN], TURN):
        for name, head in heads.items():
            time.sleep(SPINNING_S)
            head.scores(rows[:1])
            for row in _chunks(rows, 1):
                started = time.perf_counter()
                head.scores(row)
                found[name].append(1000 * (time.perf_counter() - started))
    return found


def _differences(head: _Head, states: Array, best: npt.NDArray[np.int64]) -> dict[str, int]:
    changed = deepest = 0
    for start in track(range(0, len(states), CHUNK), description="scoring"):
        scores, wanted = head.scores(states[start : start + CHUNK]), best[start : start + CHUNK]
        changed += int((scores.argmax(axis=1) != wanted).sum())
        own = scores[np.arange(len(scores)), wanted]
        deepest = max(deepest, int((scores > own[:, None]).sum(axis=1).max()) + 1)
    return {"changed": changed, "deepest": deepest}


def _chunks(rows: Array, size: int) -> Sequence[Array]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


if __name__ == "__main__":
    main()
