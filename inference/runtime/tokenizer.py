"""Text to token ids and back, without ever showing half a character.

The sole user of tokenizers. A text stands in the middle of a document: what is encoded is what it
says and no more, and what is decoded is what stands between prefix and suffix, blanks included.
Only a document's beginning gets what its tokenizer puts there, see token_text.py.

Text that spells a control token is text: a file that contains "<|endoftext|>" must not end a
prompt, nor must one that shows "<tool_call>", which most tokenizers do not flag as special;
control_tokens.py says which tokens are meant. Other added tokens are text, runs of blanks among
them, and are read and written as such.

Decoding puts bytes together, a token's own, so half a character waits for its other half. Where a
decoder spells a token by what stands around it, the library decodes, and no token has a piece:
nothing is healed there.
"""

import codecs
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import tokenizers
from tokenizers.decoders import DecodeStream

from inference.errors import InvalidModelError
from inference.package.control_tokens import is_control
from inference.package.token_text import Json, spelling_of, without_lead
from inference.package.tokenizer_check import check_tokenizer

MAX_TOKENIZER_BYTES: Final = 32 << 20
BYTE_SPELLING: Final = "<0x"

T = TypeVar("T")


class Tokenizer:
    def __init__(self, content: bytes, *, named: AbstractSet[int] = frozenset()) -> None:
        """Take a tokenizer.json that was checked; the added tokens `named` are control tokens."""
        parts = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        normalizer, leads = without_lead(_part(parts, "normalizer"))
        pre_tokenizer, more = without_lead(_part(parts, "pre_tokenizer"))
        added = msgspec.json.decode(parts.get("added_tokens", b"[]"), type=list[dict[str, Any]])
        changed = {
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "added_tokens": [_as_meant(token, named) for token in added],
        }
        tokenizer = tokenizers.Tokenizer.from_buffer(msgspec.json.encode(parts | changed))
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._leads = (*leads, *more)
        self._spelling = spelling_of(_part(parts, "decoder"))
        self._control = {
            token_id: token.content
            for token_id, token in tokenizer.get_added_tokens_decoder().items()
            if token.special
        }

    @classmethod
    def load(cls, path: Path, *, named: AbstractSet[int] = frozenset()) -> "Tokenizer":
        """Read tokenizer.json. Raises InvalidModelError where it is not understood or not safe."""
        if path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise InvalidModelError(f"{path} is larger than {MAX_TOKENIZER_BYTES} bytes")
        try:
            content = path.read_bytes()
            check_tokenizer(content)
            return _guarded(lambda: cls(content, named=named))
        except Exception as error:  # the library raises plain Exception
            raise InvalidModelError(f"{path} is no tokenizer: {error}; export again") from error

    @property
    def vocab_size(self) -> int:
        """How many ids there are, control tokens included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def control_token_ids(self) -> frozenset[int]:
        """The added tokens that steer the model; `encode` never gives one for its spelling."""
        return frozenset(self._control)

    @cached_property
    def pieces(self) -> dict[int, bytes]:
        """The bytes of every token but the control ones, the same wherever it stands.

        Empty for tokenizers whose pieces depend on where they stand.
        """
        spelling = self._spelling
        if spelling is None:
            return {}
        added = self._tokenizer.get_added_tokens_decoder()
        vocab = self._tokenizer.get_vocab(with_added_tokens=False)
        spelled = {token_id: spelling(token) for token, token_id in vocab.items()}
        for token_id, token in added.items():
            # Matched in the text itself, where the letters of a byte-level alphabet are letters.
            as_text = token.content.encode() if spelling.is_byte_level else spelling(token.content)
            spelled.setdefault(token_id, as_text)
        return {token_id: spelled[token_id] for token_id in spelled.keys() - self._control.keys()}

    def encode(self, text: str, *, is_beginning: bool = False) -> list[int]:
        """Return the tokens of a text in the middle of a document, or at its beginning."""
        if is_beginning:
            for lead in self._leads:
                text = lead.before(text)
        return _guarded(lambda: list(self._encode(text)))

    def decode(self, token_ids: Sequence[int]) -> str:
        if self._spelling is None:
            return _guarded(lambda: self._tokenizer.decode(token_ids, skip_special_tokens=True))
        found = b"".join(self.pieces.get(token_id, b"") for token_id in token_ids)
        return found.decode(errors="replace")

    def shown(self, token_id: int) -> str:
        """Return a token for people: its text, or a control token's name."""
        return self._control.get(token_id) or self.decode([token_id])

    def stream(self) -> Callable[[int], str]:
        """Return a function from the next token id to the text it completes.

        A token that ends inside a character gives "", the one that completes it gives all of it.
        """
        if self._spelling is None:
            steps = DecodeStream(skip_special_tokens=True)
            return lambda token_id: _guarded(lambda: steps.step(self._tokenizer, token_id)) or ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda token_id: decoder.decode(self.pieces.get(token_id, b""))

    def _encode(self, text: str) -> Iterator[int]:
        """Yield the ids of a text; one that spells a control token or a byte is cut inside that.

        Most models have no way to put such a spelling together. Those that look up whole words, or
        that choose among all pieces, have.
        """
        found = self._tokenizer.encode(text, add_special_tokens=False).ids
        cuts = sorted({place + 1 for spelled in self._meant(found) for place in _in(text, spelled)})
        if not cuts:
            yield from found
        for start, end in pairwise([0, *cuts, len(text)] if cuts else ()):
            yield from self._encode(text[start:end])

    def _meant(self, found: Sequence[int]) -> Iterator[str]:
        """Yield what tokens that no text may turn into are spelled like in a text."""
        spelling = self._spelling
        for token_id in self._control.keys() & set(found):
            yield self._control[token_id]
            if spelling is not None:
                yield spelling(self._control[token_id]).decode(errors="replace")
        if spelling is not None and spelling.has_byte_tokens:
            yield BYTE_SPELLING


def _part(parts: dict[str, msgspec.Raw], name: str) -> Json | None:
    return msgspec.json.decode(parts.get(name, b"null"), type=Json | None)


def _as_meant(token: Json, named: AbstractSet[int]) -> Json:
    """Return an added token that is special where it steers, and elsewhere leaves blanks alone."""
    is_named = token.get("id") in named
    if is_named or is_control(token["content"], is_flagged=token.get("special") is True):
        return token | {"special": True}
    return token | {"special": False, "lstrip": False, "rstrip": False}


def _in(text: str, spelled: str) -> Iterator[int]:
    """Yield where a spelling of more than one character stands in a text."""
    place = text.find(spelled) if len(spelled) > 1 else -1
    while place >= 0:
        yield place
        place = text.find(spelled, place + 1)


def _guarded(call: Callable[[], T]) -> T:
    """Turn the library's panics into exceptions: PanicException is a BaseException."""
    try:
        return call()
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as panic:
        raise RuntimeError(f"the tokenizer panicked: {panic}") from panic
