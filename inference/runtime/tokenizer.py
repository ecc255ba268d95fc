"""Text to token ids and back, without ever showing half a character.

The sole user of tokenizers. Text that spells a special token is text: a file that contains
"<|endoftext|>" must not end a prompt.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import tokenizers
from tokenizers.decoders import ByteLevel, DecodeStream

from inference.errors import InvalidModelError
from inference.package.tokenizer_check import check_tokenizer

MAX_TOKENIZER_BYTES: Final = 32 << 20

T = TypeVar("T")


class Tokenizer:
    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read tokenizer.json. Raises InvalidModelError where it is not understood or not safe."""
        if path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise InvalidModelError(f"{path} is larger than {MAX_TOKENIZER_BYTES} bytes")
        try:
            content = path.read_bytes()
            check_tokenizer(content)
            tokenizer = _guarded(lambda: tokenizers.Tokenizer.from_buffer(content))
        except Exception as error:  # the library raises plain Exception
            raise InvalidModelError(f"{path} is no tokenizer: {error}; export again") from error
        return cls(tokenizer)

    @property
    def vocab_size(self) -> int:
        """How many ids there are, special tokens included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def special_token_ids(self) -> frozenset[int]:
        added = self._tokenizer.get_added_tokens_decoder()
        return frozenset(token_id for token_id, token in added.items() if token.special)

    def pieces(self) -> dict[int, bytes]:
        """Return the bytes of every token but the special ones.

        Empty for tokenizers that are not byte-level, whose pieces depend on where they stand.
        """
        if not isinstance(self._tokenizer.decoder, ByteLevel):
            return {}
        byte_of = _byte_level_alphabet()
        vocab = self._tokenizer.get_vocab(with_added_tokens=False)
        spelled = {token_id: token for token, token_id in vocab.items()}
        for token_id in self.special_token_ids:
            spelled.pop(token_id, None)
        return {
            token_id: bytes(byte_of[character] for character in token)
            for token_id, token in spelled.items()
            if byte_of.keys() >= set(token)
        }

    def encode(self, text: str) -> list[int]:
        return _guarded(lambda: self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        return _guarded(lambda: self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def stream(self) -> Callable[[int], str]:
        """Return a function from the next token id to the text it completes.

        A token that ends inside a character gives "", the one that completes it gives all of it.
        """
        decoder = DecodeStream(skip_special_tokens=True)
        return lambda token_id: _guarded(lambda: decoder.step(self._tokenizer, token_id)) or ""


def _byte_level_alphabet() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for.

    Printable bytes of Latin-1 stand for themselves, the others follow from U+0100 on (GPT-2).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + index): byte for index, byte in enumerate(others)
    }


def _guarded(call: Callable[[], T]) -> T:
    """Turn the library's panics into exceptions: PanicException is a BaseException."""
    try:
        return call()
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as panic:
        raise RuntimeError(f"the tokenizer panicked: {panic}") from panic
