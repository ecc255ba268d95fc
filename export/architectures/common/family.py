"""What a model family is to the exporter: how to read its config, and what its tensors are called.

It names no graph and no precision.
"""

from collections.abc import Callable, Iterable

import msgspec

from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """`class_names` are those of transformers and, where it is another, of the publisher.

    `ignored` lists config keys that may hold any value without changing what is computed, beside
    those of `bookkeeping`.
    Tensors whose names begin as one in `unused` says, with `{num_layers}` in it, are left out.
    """

    model_type: str
    class_names: tuple[str, ...]
    read_spec: Callable[[Config], DecoderSpec]
    rules: tuple[Rule, ...]
    ignored: frozenset[str] = frozenset()
    unused: tuple[str, ...] = ()

    def used(self, names: Iterable[str], spec: DecoderSpec) -> list[str]:
        """Return the tensors that the family's rules must find a place for."""
        prefixes = tuple(prefix.format(num_layers=len(spec.layers)) for prefix in self.unused)
        return [name for name in names if not name.startswith(prefixes)]
