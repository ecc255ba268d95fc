"""The words for a look into a completion: its tokens, how likely each was, who worked on it."""

import msgspec


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A token that could have stood in a place; the logarithm is natural."""

    text: str
    log_probability: float


class ExpertShare(msgspec.Struct, frozen=True, kw_only=True):
    """An expert that read a token, and its share among those that were chosen in its layer."""

    expert: int
    share: float


class SeenToken(msgspec.Struct, frozen=True, kw_only=True):
    """`rank` is 1 where no other token was likelier; `candidates` are the likeliest.

    The first `num_healed` characters of `text` stood in the document already: the model was held to
    them, see decoding/healing.py. `experts` has an entry for each layer that mixes experts.
    """

    text: str
    log_probability: float
    rank: int
    num_healed: int
    candidates: tuple[Candidate, ...]
    experts: tuple[tuple[ExpertShare, ...], ...]


class Dissection(msgspec.Struct, frozen=True, kw_only=True):
    """A completion read again behind `num_prompt` tokens; no experts where nothing is mixed."""

    tokens: tuple[SeenToken, ...]
    num_prompt: int
    num_experts: int
    elapsed_ms: float
