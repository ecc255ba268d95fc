"""Read token ids with a finished package: as the engine does, or in pieces where it is large.

The engine holds all weights of a package. A large one is cut where enough weights have gathered,
and every text goes through one piece before the next one is loaded: what is in memory at a time is
one piece, and what flows from it into later ones.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from export.graph.builder import Piece, cut
from inference.cancellation import CancelToken
from inference.package.external_data import check_external_data
from inference.package.manifest import GRAPH_FILES, Device, ModelManifest
from inference.runtime.caches import create_caches
from inference.runtime.caches.layer_cache import Array, LayerCache
from inference.runtime.onnx import OnnxGraph, OnnxModel

MAX_WHOLE_BYTES: Final = 1 << 28
"""Packages up to this size are read by the engine's own model. What compares a larger one with its
original has the original's head in memory as well, which takes four times what it does there."""

MAX_PIECE_BYTES: Final = 1 << 28

Text = Sequence[Sequence[int]]
"""Token ids that are read into one cache, in one run or in several."""


class Reader(Protocol):
    def read(self, texts: Iterable[Text], *, last: int | None = None) -> Iterator[Array]:
        """Yield the logits after every token of each text, [num_tokens, vocab_size].

        `last` leaves out all but so many of each run: a row of a large vocabulary has 600 KB.
        """
        ...


@contextmanager
def open_reader(
    folder: Path, manifest: ModelManifest, *, device: Device = "cpu"
) -> Generator[Reader]:
    """Open a package whose files were verified. Raises what OnnxModel.load raises."""
    if device == "cpu" and manifest.num_bytes > MAX_WHOLE_BYTES:
        yield PieceByPiece(folder, manifest)
        return
    with closing(OnnxModel.load(folder, manifest, device=device)) as model:
        yield Whole(model)


class Whole:
    """A package as the engine holds it."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model

    def read(self, texts: Iterable[Text], *, last: int | None = None) -> Iterator[Array]:
        cancel = CancelToken()
        for text in texts:
            cache = self._model.create_cache()
            rows: list[Array] = []
            for run in text:
                num_logits = _num_logits(run, last)
                found = self._model.forward(run, cache, num_logits=num_logits, cancel=cancel)
                rows.append(found.copy())
            yield np.concatenate(rows)


class PieceByPiece:
    """A package of which one piece is loaded at a time: `max_bytes` of weights, or one node's."""

    def __init__(
        self, folder: Path, manifest: ModelManifest, *, max_bytes: int = MAX_PIECE_BYTES
    ) -> None:
        path = folder / GRAPH_FILES["cpu"]
        check_external_data(path, manifest.files)
        self._folder = folder
        self._architecture = manifest.architecture
        self._pieces = cut(path, max_bytes=max_bytes)

    def read(self, texts: Iterable[Text], *, last: int | None = None) -> Iterator[Array]:
        under_way = [[_Run(run, _num_logits(run, last)) for run in text] for text in texts]
        for index, piece in enumerate(self._pieces[:-1]):
            needed = {name for later in self._pieces[index + 1 :] for name in later.inputs}
            for runs in self._passed(piece, under_way):
                for run in runs:
                    run.forget_all_but(needed)
        for runs in self._passed(self._pieces[-1], under_way):
            yield np.concatenate([run.take_logits() for run in runs])

    def _passed(
        self, piece: Piece, under_way: Sequence[Sequence["_Run"]]
    ) -> Iterator[Sequence["_Run"]]:
        """Take each text through a piece, and yield it."""
        graph: OnnxGraph | None = None
        for runs in under_way:
            caches = create_caches(self._architecture, capacity=sum(map(len, runs)))
            length = 0
            for run in runs:
                feeds = run.feeds(piece.inputs, caches, length)
                if graph is None:
                    dtypes = {name: array.dtype for name, array in feeds.items()}
                    graph = OnnxGraph(piece.encoded(dtypes), self._folder)
                found = graph.run(piece.outputs, feeds)
                run.receive(dict(zip(piece.outputs, found, strict=True)), caches)
                length += len(run)
            yield runs


def _num_logits(run: Sequence[int], last: int | None) -> int:
    return len(run) if last is None else min(last, len(run))


class _Run:
    """What flows between pieces when some tokens are read together."""

    def __init__(self, token_ids: Sequence[int], num_logits: int) -> None:
        self._num_tokens = len(token_ids)
        self._values: dict[str, Array] = {
            "input_ids": np.array([token_ids], np.int64),
            "logit_rows": np.arange(len(token_ids) - num_logits, len(token_ids), dtype=np.int64),
        }

    def __len__(self) -> int:
        return self._num_tokens

    def feeds(
        self, names: Iterable[str], caches: Iterable[LayerCache], length: int
    ) -> Mapping[str, Array]:
        """Return what a piece reads, when `length` tokens were read before."""
        known = dict(self._values)
        for cache in caches:
            cache.prepare(length, len(self))
            known |= cache.inputs(len(self))
            known |= {f"past_{name}": array for name, array in cache.past.items()}
        return {name: known[name] for name in names}

    def receive(self, found: Mapping[str, Array], caches: Iterable[LayerCache]) -> None:
        """Put keys, values and states into the caches, and keep all else."""
        cached = {f"present_{name}": old for part in caches for name, old in part.present.items()}
        for name, array in found.items():
            if name in cached:
                cached[name][...] = array
            else:
                self._values[name] = array

    def forget_all_but(self, names: Set[str]) -> None:
        self._values = {name: array for name, array in self._values.items() if name in names}

    def take_logits(self) -> Array:
        return self._values.pop("logits")
