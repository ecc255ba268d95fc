"""A package as it is at work: the model, its tokenizer, and what its manifest says of both."""

import msgspec

from inference.chat import ChatTemplate
from inference.fim import FimTemplate
from inference.runtime.language_model import LanguageModel, Predictor
from inference.runtime.tokenizer import Tokenizer


class LoadedModel(msgspec.Struct, frozen=True):
    """All that answering needs of a package."""

    name: str
    model: LanguageModel
    tokenizer: Tokenizer
    fim: FimTemplate | None
    end_token_ids: frozenset[int]
    """A completion ends at each of these: end of text, and every control token."""
    leading_token_ids: tuple[int, ...] = ()
    """Every prompt begins with these."""
    chat: ChatTemplate | None = None
    """How a conversation is laid out, where the model was taught to follow instructions."""
    predictor: Predictor | None = None
    """What guesses further tokens from the model's own hidden states, where the package has one."""
