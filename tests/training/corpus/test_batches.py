"""The stream of windows: repeatable, resumable, every document once an epoch."""

import itertools

import tokenizers

from tests.support.byte_tokenizer import byte_tokenizer
from training.corpus.batches import Corpus, Position, batches
from training.corpus.documents import Document
from training.corpus.holes import Mixture

NUM_DOCUMENTS = 400
START = Position()


def corpus(seed: int = 0, mixture: Mixture | None = None) -> Corpus:
    documents = [
        Document(
            package=f"package_{number % 7}",
            path=f"file_{number}.py",
            language="python",
            text=f"# file {number:04d}\n" + f"value = {number}\n" * (5 + number % 40),
        )
        for number in range(NUM_DOCUMENTS)
    ]
    tokenizer: tokenizers.Tokenizer = byte_tokenizer()
    return Corpus.of(documents, tokenizer, mixture or Mixture(), seed)


def take(count: int, position: Position = START, **options: int) -> list[object]:
    stream = batches(
        corpus(options.get("seed", 0)),
        position,
        num_windows=8,
        sequence_length=128,
        workers=options.get("workers", 0),
    )
    return [(batch.tobytes(), position) for batch, position in itertools.islice(stream, count)]


def test_the_same_seed_gives_the_same_batches() -> None:
    assert take(30) == take(30)


def test_another_seed_gives_others() -> None:
    assert take(3) != take(3, seed=1)


def test_a_stream_goes_on_where_it_stopped() -> None:
    unbroken = take(120)
    for stop in (1, 7, 50, 90):
        _, position = unbroken[stop - 1]
        assert take(120 - stop, position) == unbroken[stop:]


def test_processes_change_nothing() -> None:
    assert take(60, workers=2) == take(60)


def test_every_document_comes_once_an_epoch() -> None:
    whole = corpus()
    for epoch in range(3):
        chunks = range(epoch * whole.chunks_per_epoch, (epoch + 1) * whole.chunks_per_epoch)
        members = [index for chunk in chunks for index in whole.members(chunk)]
        assert sorted(members) == list(range(NUM_DOCUMENTS))


def test_epochs_differ() -> None:
    whole = corpus()
    first, second = whole.arranged(0, 128), whole.arranged(whole.chunks_per_epoch, 128)
    assert first.shape != second.shape or (first != second).any()
