"""Where checkpoints keep the layer that predicts the token behind the next one, and what it is.

Of several such layers the first is read; it can be asked again for one token more.
Sources: DeepSeek-V3 (arXiv:2412.19437, section 2.2), `MtpModel` of transformers, and the layers'
own code in vLLM where transformers has none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, Joining, Layer
from export.spec.recurrence import Recurrence

_ANY_LAYER: Final = "model.layers.{layer}."
_SHARED: Final = frozenset({"embedding", "head"})


def last_attending(config: Config, spec: DecoderSpec) -> Layer:
    """Return the last layer that keeps keys and values: most families' predictor is one more."""
    attending = [one for one in spec.layers if not isinstance(one.attention, Recurrence)]
    return attending[-1]


class Predicting(msgspec.Struct, frozen=True, kw_only=True):
    """`layer` is what tensors of the layer are called instead of `model.layers.N`.

    `tensors` are the others by their whole names, and the slots that they fill; `copies` are of the
    embedding and the head, which the model's own serve for. `{num_layers}` may stand in all names.
    """

    layer: str
    tensors: Mapping[str, str]
    copies: tuple[str, ...] = ()
    joining: Joining = Joining()
    read_layer: Callable[[Config, DecoderSpec], Layer] = last_attending


class Predictor(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder of one layer that reads the hidden states of the model, and its tensors' rules."""

    spec: DecoderSpec
    rules: tuple[Rule, ...]
    prefixes: tuple[str, ...]
    copies: tuple[str, ...]

    def own(self, names: Iterable[str]) -> list[str]:
        """Return the tensors that are the predictor's alone."""
        return [
            name for name in names if name.startswith(self.prefixes) and name not in self.copies
        ]


def read_predictor(
    found: Predicting, config: Config, spec: DecoderSpec, rules: Sequence[Rule]
) -> Predictor:
    """Read the predictor of a model; whether its checkpoint holds one its tensors say."""
    layer = found.layer.format(num_layers=len(spec.layers))
    tensors = {
        name.format(num_layers=len(spec.layers)): slot for name, slot in found.tensors.items()
    }
    of_layer = (rule for rule in rules if rule.pattern.startswith(_ANY_LAYER))
    return Predictor(
        spec=msgspec.structs.replace(
            spec, layers=(found.read_layer(config, spec),), joining=found.joining
        ),
        rules=(
            *(Rule(name, slot) for name, slot in tensors.items()),
            *(rule for rule in rules if rule.slot in _SHARED),
            *(_moved(rule, f"{layer}.") for rule in of_layer),
        ),
        prefixes=(f"{layer}.", *tensors),
        copies=tuple(name.format(num_layers=len(spec.layers)) for name in found.copies),
    )


def _moved(rule: Rule, prefix: str) -> Rule:
    return msgspec.structs.replace(
        rule,
        pattern=prefix + rule.pattern.removeprefix(_ANY_LAYER),
        slot=rule.slot.replace("{layer}", "0"),
    )


BEHIND_THE_LAST_LAYER: Final = Predicting(
    layer="model.layers.{num_layers}",
    tensors={
        "model.layers.{num_layers}.enorm.weight": "joining.token_norm",
        "model.layers.{num_layers}.hnorm.weight": "joining.hidden_norm",
        "model.layers.{num_layers}.eh_proj.weight": "joining.projection",
        "model.layers.{num_layers}.shared_head.norm.weight": "norm",
    },
    copies=(
        "model.layers.{num_layers}.embed_tokens.weight",
        "model.layers.{num_layers}.shared_head.head.weight",
    ),
)
"""DeepSeek-V3's, and that of those who followed it."""

BESIDE_THE_MODEL: Final = Predicting(
    layer="mtp.layers.0",
    tensors={
        "mtp.pre_fc_norm_embedding.weight": "joining.token_norm",
        "mtp.pre_fc_norm_hidden.weight": "joining.hidden_norm",
        "mtp.fc.weight": "joining.projection",
        "mtp.norm.weight": "norm",
    },
)
"""Qwen3-Next's, Qwen3.5's and Mellum 2's."""
