"""Learn the vocabulary: byte-level BPE that any reader of Qwen2's tokenizer understands.

    python -m training.corpus.tokenizer [--share 0.12]

Writes data/tokenizer/ and prints bytes per token.

Qwen2's pre-tokenization: digits one by one, at most one blank or mark before a word, white space in
runs. No normalization, so that what is read is what is written. Special tokens come first.
"""

import argparse
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from inference.fim import FimOrder, FimTemplate
from training.corpus.documents import DOCUMENTS_FOLDER, Document, read_documents
from training.corpus.sources import DATA_FOLDER
from training.errors import TrainingError, tell

VOCAB_SIZE: Final = 16_384
SPECIAL_TOKENS: Final = (
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
END_OF_TEXT: Final = 0
TOKENIZER_FOLDER: Final = DATA_FOLDER / "tokenizer"

QWEN2_PATTERN: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SAMPLE_SHARE: Final = 0.12
"""100 MB of the whole corpus, which are learned from in two minutes."""


def train_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> tokenizers.Tokenizer:
    """Learn merges from texts."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(QWEN2_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        found = tokenizer.get_vocab_size()
        raise TrainingError(f"the texts give {found} tokens, not {vocab_size}; add more text")
    return tokenizer


def fim_template(order: FimOrder) -> FimTemplate:
    """Return the layout in the terms of SPECIAL_TOKENS."""
    token_ids = {token: index for index, token in enumerate(SPECIAL_TOKENS)}
    return FimTemplate(
        order=order,
        prefix_token_id=token_ids["<|fim_prefix|>"],
        suffix_token_id=token_ids["<|fim_suffix|>"],
        middle_token_id=token_ids["<|fim_middle|>"],
        pad_token_id=token_ids["<|fim_pad|>"],
        repo_name_token_id=token_ids["<|repo_name|>"],
        file_separator_token_id=token_ids["<|file_sep|>"],
    )


def load_tokenizer(folder: Path = TOKENIZER_FOLDER) -> tokenizers.Tokenizer:
    """Read tokenizer.json; text that spells a special token is text."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise TrainingError(f"no {path.name} in {folder}; run python -m training.corpus.tokenizer")
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer


def save_tokenizer(tokenizer: tokenizers.Tokenizer, folder: Path, *, max_length: int) -> None:
    """Write the files that make a checkpoint's tokenizer, as transformers spells them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": SPECIAL_TOKENS[0],
        "bos_token": SPECIAL_TOKENS[0],
        "pad_token": "<|fim_pad|>",
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")


def bytes_per_token(tokenizer: tokenizers.Tokenizer, texts: Sequence[str]) -> float:
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return sum(len(text.encode()) for text in texts) / sum(map(len, encodings))


def _sample(documents: Iterable[Document], share: float, *, seed: int) -> Iterator[str]:
    source = random.Random(seed)  # noqa: S311
    return (document.text for document in documents if source.random() < share)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.corpus.tokenizer", description=__doc__)
    parser.add_argument("--share", type=float, default=_SAMPLE_SHARE, help="of the documents")
    share: float = parser.parse_args(arguments).share
    documents = read_documents(DOCUMENTS_FOLDER / "train.jsonl")
    tokenizer = train_tokenizer(_sample(documents, share, seed=0))
    save_tokenizer(tokenizer, TOKENIZER_FOLDER, max_length=4096)
    held_out = list(read_documents(DOCUMENTS_FOLDER / "validation.jsonl"))
    for language in sorted({document.language for document in held_out}):
        texts = [document.text for document in held_out if document.language == language]
        print(f"{language}: {bytes_per_token(tokenizer, texts):.3f} bytes per token, held out")


if __name__ == "__main__":
    tell(main)
