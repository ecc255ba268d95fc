"""Import LSP's types without building each of them.

attrs builds 554 classes in a third of a second, and a session needs some sixty. `attrs.define` is
replaced while `lsprotocol.types` is imported; what it leaves behind builds the class, in its place,
when it is looked into or made for the first time. Such a class has no slots, because those need
another class; nothing else differs. Where the types were imported already, this does nothing.
"""

import importlib
import sys
from typing import Any, Final

import attrs

_MARK: Final = "_is_unbuilt"


class _Attributes:
    """Stands where attrs keeps what it knows of a class, and finds it out."""

    def __get__(self, instance: object, owner: type) -> object:
        _build(owner)
        return attrs.fields(owner)


def import_types() -> None:
    """Import `lsprotocol.types`, and have its converters work with classes that are not built."""
    if "lsprotocol.types" in sys.modules:
        return
    define, attrs.define = attrs.define, _define_later
    try:
        importlib.import_module("lsprotocol.types")
    finally:
        attrs.define = define
    # Otherwise the first converter builds all of them, to resolve the names in their annotations.
    vars(importlib.import_module("lsprotocol._hooks"))["_resolved_forward_references"] = True


def _define_later(cls: type[Any]) -> type[Any]:
    setattr(cls, _MARK, True)
    cls.__init__ = _build_and_init
    cls.__attrs_attrs__ = _Attributes()
    return cls


def _build_and_init(self: object, *arguments: object, **named: object) -> None:
    _build(type(self))
    type(self).__init__(self, *arguments, **named)


def _build(cls: type[Any]) -> None:
    for base in reversed(cls.__mro__):
        if _MARK in vars(base):
            _build_one(base)


def _build_one(cls: type[Any]) -> None:
    from lsprotocol.types import ALL_TYPES_MAP

    for name in (_MARK, "__init__", "__attrs_attrs__"):
        delattr(cls, name)
    attrs.define(cls, slots=False)
    attrs.resolve_types(cls, dict(ALL_TYPES_MAP), {})
