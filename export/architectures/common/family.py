"""What a model family is to the exporter: how to read its config, and what its tensors are called.

It names no graph and no precision.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec

from export.architectures.common.predicting import Predicting
from export.checkpoint.config import Config
from export.checkpoint.naming import Spelling
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec


def _no_further_rules(config: Config, spec: DecoderSpec) -> tuple[Rule, ...]:
    return ()


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """`class_names` are those of transformers and, where it is another, of the publisher.

    `text_types` are other model types of the same language model: those that a model which also
    sees or hears gives it in its `text_config` (see `wrapper`). The model around it needs no name.
    `text_defaults` are what transformers' class has where a `text_config` is silent.
    `ignored` lists config keys that may hold any value without changing what is computed, beside
    those of `bookkeeping`.
    `further_rules` are for tensors that the config and the spec say how to take. `written_back` is
    what the config of a checkpoint says that was made from a package, whatever its source said.
    Tensors whose names begin as one in `unused` says, with `{num_layers}` in it, are of layers that
    predict further tokens. They are left out, but those of the one that `predicting` knows.
    """

    model_type: str
    class_names: tuple[str, ...]
    read_spec: Callable[[Config], DecoderSpec]
    rules: tuple[Rule, ...]
    further_rules: Callable[[Config, DecoderSpec], tuple[Rule, ...]] = _no_further_rules
    written_back: Mapping[str, object] = {}
    text_types: tuple[str, ...] = ()
    text_defaults: Mapping[str, object] = {}
    ignored: frozenset[str] = frozenset()
    unused: tuple[str, ...] = ()
    predicting: Predicting | None = None

    @property
    def model_types(self) -> tuple[str, ...]:
        return (self.model_type, *self.text_types)

    @property
    def spelling(self) -> Spelling:
        names = [rule.pattern.split(".") for rule in self.rules]
        root = Counter(first for first, *_ in names).most_common(1)[0][0]
        followers = frozenset(second for first, second, *_ in names if first == root)
        return Spelling(root=root, followers=followers)

    def used(self, names: Iterable[str], spec: DecoderSpec) -> list[str]:
        """Return the tensors that the family's rules must find a place for."""
        return [name for name in names if not name.startswith(self._unused_prefixes(spec))]

    def left_out(self, names: Iterable[str], spec: DecoderSpec) -> list[str]:
        """Return the tensors of layers that predict further tokens."""
        return [name for name in names if name.startswith(self._unused_prefixes(spec))]

    def _unused_prefixes(self, spec: DecoderSpec) -> tuple[str, ...]:
        return tuple(prefix.format(num_layers=len(spec.layers)) for prefix in self.unused)
