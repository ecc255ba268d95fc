"""Turn documents into an endless, repeatable stream of windows of token ids.

An epoch is every document once, in an order and with holes of its own. It is arranged chunk by
chunk; a chunk is a pure function of (seed, epoch, number, sequence length), so that other processes
can prepare it and a run can go on at the very window where another one stopped.

Invariant: the windows after a Position are the same however they are reached.
"""

import itertools
import multiprocessing
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt
import tokenizers

from training.corpus.documents import Document
from training.corpus.holes import Mixture, arrange
from training.errors import TrainingError

Windows = npt.NDArray[np.uint16]

DOCUMENTS_PER_CHUNK: Final = 192
CHARACTERS_PER_TOKEN: Final = 3
"""Fewer than a token of code has on average, so that most parts fit a window."""

_CHUNKS_AHEAD: Final = 4


class Position(msgspec.Struct, frozen=True):
    """The next window: which chunk since the beginning of time, and which window of it."""

    chunk: int = 0
    window: int = 0


class Corpus(msgspec.Struct, frozen=True):
    documents: Sequence[Document]
    tokenizer: tokenizers.Tokenizer
    mixture: Mixture
    seed: int
    packages: dict[str, list[int]]

    @classmethod
    def of(
        cls,
        documents: Sequence[Document],
        tokenizer: tokenizers.Tokenizer,
        mixture: Mixture,
        seed: int,
    ) -> Self:
        if not documents:
            raise TrainingError(
                "there are no documents to train on; run python -m training.corpus.pack"
            )
        packages: dict[str, list[int]] = defaultdict(list)
        for index, document in enumerate(documents):
            packages[document.package].append(index)
        return cls(documents, tokenizer, mixture, seed, packages)

    @property
    def chunks_per_epoch(self) -> int:
        return -(-len(self.documents) // DOCUMENTS_PER_CHUNK)

    def members(self, chunk: int) -> Sequence[int]:
        """Return which documents a chunk holds; those of an epoch hold each of them once."""
        epoch, number = divmod(chunk, self.chunks_per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.documents))
        return order[number * DOCUMENTS_PER_CHUNK : (number + 1) * DOCUMENTS_PER_CHUNK].tolist()

    def arranged(self, chunk: int, sequence_length: int) -> Windows:
        """Return the windows of a chunk, [num_windows, sequence_length + 1].

        The last id of a window is only predicted, never read. What does not fill a window is lost.
        """
        chance = random.Random(f"{self.seed} {chunk}")  # noqa: S311
        max_characters = sequence_length * CHARACTERS_PER_TOKEN
        token_ids: list[int] = []
        for index in self._parts(chunk, max_characters, chance):
            document = self.documents[index]
            token_ids += arrange(
                document,
                self._others(document, index, chance),
                self.mixture,
                self._encode,
                max_characters=max_characters,
                chance=chance,
            )
        width = sequence_length + 1
        num_windows = len(token_ids) // width
        windows = np.array(token_ids[: num_windows * width], np.uint16).reshape(-1, width)
        return windows[np.random.default_rng((self.seed, chunk)).permutation(num_windows)]

    def _parts(self, chunk: int, max_characters: int, chance: random.Random) -> Sequence[int]:
        """Return a chunk's documents, a long one once for every part that is to be shown of it."""
        members = self.members(chunk)
        if self.mixture.max_parts == 1:
            return members
        counts = (-(-len(self.documents[index].text) // max_characters) for index in members)
        parts = [
            index
            for index, count in zip(members, counts, strict=True)
            for _ in range(min(count, self.mixture.max_parts))
        ]
        chance.shuffle(parts)
        return parts

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def _others(self, document: Document, index: int, chance: random.Random) -> Sequence[Document]:
        siblings = self.packages[document.package]
        chosen = chance.sample(siblings, min(len(siblings), chance.choice((1, 1, 2))))
        return [self.documents[other] for other in chosen if other != index]


def batches(
    corpus: Corpus, position: Position, *, num_windows: int, sequence_length: int, workers: int = 0
) -> Iterator[tuple[Windows, Position]]:
    """Yield batches of `num_windows` windows for ever, each with the position behind it.

    `workers` processes arrange chunks ahead; with none it happens here, on demand.
    """
    held = np.empty((0, sequence_length + 1), np.uint16)
    start = position.window
    for chunk, windows in _arranged(corpus, position.chunk, sequence_length, workers):
        held = np.concatenate([held, windows[start:]])
        start = 0
        # what is left over after a batch always ends with the chunk's last window
        while len(held) > num_windows:
            batch, held = held[:num_windows], held[num_windows:]
            yield batch, Position(chunk, len(windows) - len(held))


def _arranged(
    corpus: Corpus, first: int, sequence_length: int, workers: int
) -> Iterator[tuple[int, Windows]]:
    if workers == 0:
        for chunk in itertools.count(first):
            yield chunk, corpus.arranged(chunk, sequence_length)
    # forked, so that the documents are shared and not copied through a pipe
    context = multiprocessing.get_context("fork")
    queues = [context.Queue(maxsize=_CHUNKS_AHEAD) for _ in range(workers)]
    processes = [
        context.Process(
            target=_fill,
            args=(corpus, sequence_length, range(first + worker, sys.maxsize, workers), queue),
            daemon=True,
        )
        for worker, queue in enumerate(queues)
    ]
    for process in processes:
        process.start()
    try:
        for chunk in itertools.count(first):
            yield chunk, queues[(chunk - first) % workers].get()
    finally:
        for process in processes:
            process.terminate()


def _fill(
    corpus: Corpus, sequence_length: int, chunks: range, queue: "multiprocessing.Queue[Windows]"
) -> None:
    for chunk in chunks:
        queue.put(corpus.arranged(chunk, sequence_length))
