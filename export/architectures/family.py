"""What a model family is to the exporter: how to read its config, and what its tensors are called.

It names no graph and no precision.
"""

from collections.abc import Callable

import msgspec

from export.config import Config
from export.spec import DecoderSpec
from export.tensors import Rule


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """`ignored` lists config keys that may hold any value without changing what is computed."""

    model_type: str
    class_name: str
    read_spec: Callable[[Config], DecoderSpec]
    rules: tuple[Rule, ...]
    ignored: frozenset[str]
