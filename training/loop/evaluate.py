"""Measure a checkpoint on held-out text in bits per byte, which compares any two vocabularies.

    python -m training.loop.evaluate CHECKPOINT... [--shards FOLDER]

Text is cut into pieces of PIECE_CHARACTERS at line ends; each is read from <|endoftext|> on, and
every one of its tokens is predicted. The cross entropy in bits, over the bytes of the text.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import tokenizers
import torch
from torch.nn import functional

from training.corpus.documents import Document
from training.corpus.pack import SHARDS_FOLDER, read_shards
from training.corpus.tokenizer import END_OF_TEXT, load_tokenizer
from training.errors import tell
from training.model.checkpoint import load_checkpoint
from training.model.decoder import Decoder
from training.model.quantization import Rounding

PIECE_CHARACTERS: Final = 1500
_BATCH: Final = 8


@torch.no_grad()
def bits_per_byte(
    decoder: Decoder,
    tokenizer: tokenizers.Tokenizer,
    documents: Sequence[Document],
    *,
    max_characters: int,
) -> float:
    """Read evenly spread pieces of the documents, `max_characters` in all, and score them."""
    chosen = spread(list(pieces(documents)), max_characters)
    device = decoder.embed_tokens.device
    nats, num_bytes = 0.0, 0
    encoded = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in chosen]
    # pieces of like length together, so that little is padded
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    for start in range(0, len(order), _BATCH):
        group = [encoded[index] for index in order[start : start + _BATCH]]
        width = max(map(len, group))
        ids = torch.tensor([[END_OF_TEXT, *row, *[-100] * (width - len(row))] for row in group])
        ids = ids.to(device)
        logits = decoder(ids[:, :-1].clamp(min=0))
        nats += float(
            functional.cross_entropy(
                logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=-100, reduction="sum"
            )
        )
    num_bytes = sum(len(piece.encode()) for piece in chosen)
    return nats / math.log(2) / num_bytes


def pieces(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        piece = ""
        for line in document.text.splitlines(keepends=True):
            if piece and len(piece) + len(line) > PIECE_CHARACTERS:
                yield piece
                piece = ""
            piece += line
        if piece:
            yield piece


def spread(texts: Sequence[str], max_characters: int) -> Sequence[str]:
    """Take every n-th text, so that about `max_characters` come together from all of them."""
    total = sum(map(len, texts))
    return texts[:: max(1, round(total / max_characters))]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.loop.evaluate", description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--shards", type=Path, default=SHARDS_FOLDER / "validation")
    parser.add_argument("--characters", type=int, default=400_000)
    options = parser.parse_args(arguments)
    documents = list(read_shards(options.shards))
    for folder in options.checkpoints:
        decoder, tokenizer = load_checkpoint(folder), load_tokenizer(folder)
        for name, weights in (("bf16", False), ("int4", True)):
            score = _score(decoder, tokenizer, documents, options.characters, rounded=weights)
            print(f"{folder.name} {name}: {score:.4f} bits per byte")


def _score(
    decoder: Decoder,
    tokenizer: tokenizers.Tokenizer,
    documents: Sequence[Document],
    max_characters: int,
    *,
    rounded: bool,
) -> float:
    if not rounded:
        return bits_per_byte(decoder, tokenizer, documents, max_characters=max_characters)
    parameters = dict(decoder.named_parameters())
    with Rounding(search_every=1).rounded_weights(parameters):
        return bits_per_byte(decoder, tokenizer, documents, max_characters=max_characters)


if __name__ == "__main__":
    tell(main)
