"""A model that also sees or hears: which part of its config is the language model's.

What such a model does with text alone is what its language model does: pictures and sounds come to
it as embeddings in the place of tokens. So the model type within `text_config` finds the family,
by its own name or by one of its `text_types`, whatever the model around it is called. A new
wrapper therefore needs no entry; a new spelling of a family's text model is a name in `text_types`.

The wrapper's own keys are the other parts, which `bookkeeping` passes over; one that is not known
is refused by name. Its tensors are told apart in `export.checkpoint.naming`.
"""

from typing import Final

from export.architectures.common.bookkeeping import BOOKKEEPING
from export.checkpoint.config import Config
from export.errors import UnsupportedError

SPELLINGS: Final = ("text_config", "llm_config", "language_config")
SEEING: Final = "ForConditionalGeneration"
"""What the classes of such models are called by."""

INHERITED: Final = ("eos_token_id", "quantization_config", "tie_word_embeddings")
"""What a wrapper says in the place of a language model that does not."""


def language_config(config: Config) -> Config:
    """Return the part of a config that is the language model's: all where nothing is around."""
    key = config.spelling(*SPELLINGS)
    if not config.has(key):
        return config
    return config.section(key, inherited=INHERITED)


def check_wrapper(config: Config, language: Config) -> None:
    """Refuse what a wrapper says beside its parts and the language model.

    Raises UnsupportedError naming a key that is not known, or a class that does not write text.
    """
    if language is config:
        return
    config.require("vocab_size", language.integer("vocab_size"))
    names = config.texts("architectures")
    if names and not names[0].endswith((SEEING, "ForCausalLM")):
        raise UnsupportedError(f"config.json says architectures = {[*names]}, which write no text")
    config.refuse_unread(BOOKKEEPING)
