"""A real tokenizer of the smallest kind: a token a byte, and the special tokens behind them."""

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

SPECIAL_TOKENS = {
    "<|endoftext|>": 256,
    "<|fim_prefix|>": 257,
    "<|fim_middle|>": 258,
    "<|fim_suffix|>": 259,
}
VOCAB_SIZE = 256 + len(SPECIAL_TOKENS)


def byte_tokenizer() -> tokenizers.Tokenizer:
    """Return a tokenizer whose id for a byte is the byte."""
    vocab = {_spelling(byte): byte for byte in range(256)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(token, special=True) for token in SPECIAL_TOKENS]
    )
    assert tokenizer.token_to_id("<|fim_suffix|>") == 259
    return tokenizer


def _spelling(byte: int) -> str:
    """Spell a byte as byte-level tokenizers do: printable bytes as they are, others from U+0100."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in printable:
        return chr(byte)
    return chr(256 + [other for other in range(256) if other not in printable].index(byte))
