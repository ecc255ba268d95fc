"""Say what a tokenizer.json makes of texts and tokens, and take out what would change a text.

Text has to survive the way to tokens and back wherever in a document it stands. Tokenizers of
sentence pieces put a blank in front of every text and take it off the first token written, which is
right for whole documents only: of a completion it eats the first blank, and a suffix gets one too
many. So what is put in front is taken out, and is given back as data: a document's beginning gets
it, as the model saw it in training, and a text from the middle of a document does not.

A decoder of the same kind takes that blank off again; without it, each token spells the same bytes
wherever it stands. `Spelling` computes them from the decoder's steps.

Of such a tokenizer one thing does not survive: it reads the character U+2581 as a blank.
"""

import codecs
import itertools
from collections.abc import Callable, Generator
from typing import Any, Final

import msgspec

from inference.package.control_tokens import BYTE_TOKEN

Json = dict[str, Any]
_STEPS: Final = ("normalizers", "pretokenizers", "decoders")


class Lead(msgspec.Struct, frozen=True):
    """What stands in front of every document, but not of one that begins with any of `unless`."""

    content: str
    unless: tuple[str, ...] = ()

    def before(self, text: str) -> str:
        return text if text.startswith(self.unless) else self.content + text


class Spelling(msgspec.Struct, frozen=True, kw_only=True):
    """From a token as the vocabulary writes it to the bytes it stands for, wherever it stands."""

    replacements: tuple[tuple[str, str], ...] = ()
    has_byte_tokens: bool = False
    is_byte_level: bool = False

    def __call__(self, token: str) -> bytes:
        for before, after in self.replacements:
            token = token.replace(before, after)
        byte = BYTE_TOKEN.fullmatch(token) if self.has_byte_tokens else None
        if byte:
            return bytes.fromhex(byte[1])
        if not self.is_byte_level:
            return token.encode()
        try:
            return codecs.charmap_encode(token, "strict", _ALPHABET)[0]
        except UnicodeEncodeError:  # an added one, spelled as in a text
            return token.encode()


def spelling_of(decoder: Json | None) -> Spelling | None:
    """Return how a decoder spells a token; None where that depends on the tokens around it."""
    found, is_fused = Spelling(), False
    for step in _flat(decoder):
        match step:
            case {"type": "ByteLevel"}:
                found = msgspec.structs.replace(found, is_byte_level=True)
            case {"type": "ByteFallback"}:
                found = msgspec.structs.replace(found, has_byte_tokens=True)
            case {"type": "Fuse"}:
                is_fused = True
            case {"type": "Strip", "content": " ", "stop": 0} if is_fused:
                pass  # the blank in front of a document, which is data here: see Lead
            case {"type": "Metaspace", "replacement": str(before)}:
                found = _replacing(found, before, " ")
            case {
                "type": "Replace",
                "pattern": {"String": str(before)},
                "content": str(after),
            } if before and (len(before) == 1 or not is_fused):
                found = _replacing(found, before, after)
            case _:
                return None
    return found if decoder else None


def without_lead(part: Json | None) -> tuple[Json | None, list[Lead]]:
    """Return a normalizer or a pre-tokenizer that puts nothing in front, and what it did put."""
    leads: list[Lead] = []
    return _without_lead(part, leads.append, is_first=True), leads


def _without_lead(
    part: Json | None, found: Callable[[Lead], None], *, is_first: bool
) -> Json | None:
    match part:
        case {"type": "Sequence"}:
            for key in _STEPS:
                if key in part:
                    steps = [
                        _without_lead(step, found, is_first=is_first and index == 0)
                        for index, step in enumerate(part[key])
                    ]
                    part = part | {key: [step for step in steps if step is not None]}
            return part
        case {"type": "Prepend", "prepend": str(content)}:
            found(Lead(content))
            return None
        case {"type": "Metaspace", "replacement": str(replacement)}:
            scheme = part.get("prepend_scheme")
            if scheme is None:  # as older files say it
                scheme = "always" if part.get("add_prefix_space", True) else "never"
            if scheme == "always" and not is_first:
                return part  # every part of a text gets one, and words are told apart by that
            if scheme != "never":
                found(Lead(replacement, unless=(" ", replacement)))
            kept = {key: value for key, value in part.items() if key != "add_prefix_space"}
            return kept | {"prepend_scheme": "never"}
        case {"type": "ByteLevel", "add_prefix_space": True}:
            found(Lead(" ", unless=(" ",)))
            return part | {"add_prefix_space": False}
        case _:
            return part


def _replacing(spelling: Spelling, before: str, after: str) -> Spelling:
    replacements = (*spelling.replacements, (before, after))
    return msgspec.structs.replace(spelling, replacements=replacements)


def _flat(part: Json | None) -> Generator[Json]:
    match part:
        case {"type": "Sequence"}:
            for key in _STEPS:
                for step in part.get(key, []):
                    yield from _flat(step)
        case None:
            return
        case _:
            yield part


def _byte_level_alphabet() -> str:
    """Return the character that stands for each byte in a byte-level vocabulary.

    Printable bytes of Latin-1 stand for themselves, the others follow from U+0100 on (GPT-2).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = itertools.count(0x100)
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(0x100))


_ALPHABET: Final = codecs.charmap_build(_byte_level_alphabet())
