"""Pack the cleaned corpus into few small files that can be carried to another machine.

    python -m training.corpus.pack [--shards 2]       writes data/shards/{train,validation}/

A shard is xz-compressed JSON lines of documents, package by package, so that what is alike stands
close together. Text is carried and not token ids: it packs smaller (README.md has the figures),
any vocabulary can read it, and every pass over it can cut other holes.
"""

import argparse
import concurrent.futures
import lzma
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from training.corpus.documents import DOCUMENTS_FOLDER, Document, read_documents
from training.corpus.sources import DATA_FOLDER
from training.errors import TrainingError, tell

SHARDS_FOLDER: Final = DATA_FOLDER / "shards"
_FILTERS: Final = [
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 256 << 20}
]


def pack(documents: Sequence[Document], num_shards: int) -> list[list[Document]]:
    """Share out whole packages so that all shards hold about as many characters."""
    packages: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        packages[document.package].append(document)
    shards: list[list[Document]] = [[] for _ in range(num_shards)]
    sizes = [0] * num_shards
    for package in sorted(packages.values(), key=_characters, reverse=True):
        smallest = sizes.index(min(sizes))
        shards[smallest] += package
        sizes[smallest] += _characters(package)
    return shards


def write_shard(path: Path, documents: Iterable[Document]) -> float:
    """Write a shard; return how many bytes of text a byte of it holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.json.Encoder()
    num_bytes = 0
    with lzma.open(path, "wb", format=lzma.FORMAT_XZ, filters=_FILTERS) as file:
        for document in documents:
            num_bytes += len(document.text.encode())
            file.write(encoder.encode(document) + b"\n")
    return num_bytes / path.stat().st_size


def read_shards(folder: Path) -> Iterator[Document]:
    """Yield the documents of all shards of a folder, in the order of their names.

    Files that are not compressed are read as well: on the machine that collected them none need be.
    """
    paths = sorted([*folder.glob("*.jsonl.xz"), *folder.glob("*.jsonl")])
    if not paths:
        raise TrainingError(f"no shards in {folder}; run python -m training.corpus.pack")
    decoder = msgspec.json.Decoder(Document)
    for path in paths:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            for line in file:
                yield decoder.decode(line)


def _characters(documents: Sequence[Document]) -> int:
    return sum(len(document.text) for document in documents)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.corpus.pack", description=__doc__)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--documents", type=Path, default=DOCUMENTS_FOLDER)
    parser.add_argument("--output", type=Path, default=SHARDS_FOLDER)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    documents = list(read_documents(options.documents / "train.jsonl"))
    held_out = list(read_documents(options.documents / "validation.jsonl"))
    named = {f"train-{index}": part for index, part in enumerate(pack(documents, options.shards))}
    parts = {**named, "validation": held_out}
    paths = [options.output / name.partition("-")[0] / f"{name}.jsonl.xz" for name in parts]
    with concurrent.futures.ProcessPoolExecutor(options.processes) as executor:
        ratios = executor.map(write_shard, paths, parts.values())
        for path, ratio in zip(paths, ratios, strict=True):
            size = path.stat().st_size / 1e6
            print(f"{path.name}: {size:.1f} MB, {ratio:.2f} bytes of text in each byte", flush=True)


if __name__ == "__main__":
    tell(main)
