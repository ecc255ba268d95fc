"""Trained vocabularies, and GGUF files that hold them beside a tiny model."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import gguf
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from tests.support.gguf_files import add, finished, named, write_shape, write_vocabulary
from tests.support.tiny_checkpoints import SPECIAL_TOKENS, random_tensors, tiny
from tests.support.token_texts import UNREACHED, texts

Json = dict[str, Any]
Kind = gguf.GGMLQuantizationType

NUM_TRAINED: Final = 900
NUM_SPELLED: Final = NUM_TRAINED + 1
"""The first control token's id, behind those of texts."""

NUM_TEXTS: Final = 1200
USER_DEFINED: Final = ("    ", "\t\t", "<tag>")
CONTROLS: Final = ("<unk>", "<s>", "</s>")
BLANK: Final = "\u2581"


@cache
def byte_level_tokenizer(*user_defined: str) -> Json:
    """Return a tokenizer.json whose merges know no words: only a cutting keeps them apart."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=NUM_TRAINED,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_lines(), trainer)
    trained = json.loads(tokenizer.to_str())
    trained["model"]["vocab"][UNREACHED] = NUM_TRAINED
    added = dict.fromkeys(SPECIAL_TOKENS, True) | dict.fromkeys(user_defined, False)
    trained["added_tokens"] = [
        {"id": len(trained["model"]["vocab"]) + index, "content": token, "special": is_special}
        for index, (token, is_special) in enumerate(added.items())
    ]
    return trained


def write_byte_level(path: Path, pre: str, *user_defined: str, begins: bool | None = False) -> Path:
    """Write bytes that are joined; None leaves open whether a text `begins` with a token."""
    tokenizer = byte_level_tokenizer(*user_defined)
    num_tokens = len(tokenizer["model"]["vocab"]) + len(tokenizer["added_tokens"])
    writer = _model(path, num_tokens)
    write_vocabulary(writer, tokenizer, pre, num_tokens=num_tokens, begins=begins)
    writer.add_bos_token_id(NUM_SPELLED)
    return finished(writer, path)


def write_sentence_pieces(
    path: Path, *, has_prefix: bool | None = False, are_merged: bool = False
) -> Path:
    """Write pieces with the scores that SentencePiece gives: the earlier joined, the better.

    With `are_merged` how they are joined is listed, as Gemma 4's are.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=NUM_TRAINED, show_progress=False)
    tokenizer.train_from_iterator([line.replace(" ", BLANK) for line in _lines()], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    joined = ["".join(merge) for merge in model["merges"]]
    single = [piece for piece in model["vocab"] if len(piece) == 1]
    num_bytes = 256
    tokens = [*CONTROLS, *(f"<0x{byte:02X}>" for byte in range(num_bytes))]
    pieces = [piece for piece in dict.fromkeys([*joined, *single]) if piece not in tokens]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * num_bytes + [gguf.TokenType.NORMAL] * len(pieces)
    writer = _model(path, len(kinds))
    if are_merged:
        writer.add_tokenizer_model("gemma4")
        writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    else:
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
    writer.add_token_list([*tokens, *pieces])
    writer.add_token_scores([0.0] * len(tokens) + [-float(index) for index in range(len(pieces))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if has_prefix is not None:
        writer.add_add_space_prefix(has_prefix)
    return finished(writer, path)


def _lines() -> list[str]:
    """Return texts without what no joining shall make."""
    spelled = (*SPECIAL_TOKENS, *CONTROLS, UNREACHED)
    return [
        text for text in texts(NUM_TEXTS, seed=1) if not any(token in text for token in spelled)
    ]


def _model(path: Path, num_tokens: int) -> gguf.GGUFWriter:
    """Begin a file with the smallest model that llama.cpp loads."""
    model = tiny("llama", "LlamaForCausalLM", num_hidden_layers=1, vocab_size=num_tokens)
    writer = gguf.GGUFWriter(path, "llama")
    write_shape(writer, model.full_config)
    tensors = named(model.full_config, random_tensors(model), are_experts_apart=False)
    for name, values in tensors.items():
        add(writer, name, values, Kind.F32)
    return writer
