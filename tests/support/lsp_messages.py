"""Messages made from LSP's own types: valid ones, and what becomes of them by one wrong value."""

import enum
import re
import types as builtin_types
import typing
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

import attrs
from lsprotocol import types

MAX_DEPTH = 6
TEXTS = ("", "a", "file:///workspace/a.py", "x = 1\n", "\N{GRINNING FACE}", "python", "ébauche")
WRONG = (None, True, -1, 1.5, 2**40, "wrong", [], [None], {}, {"a": 1}, [[]], "\x00")
PLAIN: Mapping[Any, Sequence[Any]] = {
    builtin_types.NoneType: (None,),
    str: TEXTS,
    bool: (True, False),
    int: (0, 1, 3, 2**31 - 1),
    float: (0.0, 0.5),
    types.LSPObject: ({}, {"a": 1}),
}
NOT_SENT_HERE = {types.INITIALIZE, types.SHUTDOWN, types.EXIT}


class Message(NamedTuple):
    """`params` as JSON; a message that `is_valid` must be understood where it is handled."""

    method: str
    params: Any
    is_request: bool
    is_valid: bool


def messages(random: Random) -> Iterator[Message]:
    """Yield valid and invalid messages of every method that a client may send, for ever."""
    methods = {
        method: params_type
        for method, (message_type, _, params_type, _) in types.METHOD_TO_TYPES.items()
        if method not in NOT_SENT_HERE and types.message_direction(method) != "serverToClient"
    }
    requests = set(types.REQUESTS.__args__)
    while True:
        for method, params_type in methods.items():
            is_request = types.METHOD_TO_TYPES[method][0] in requests
            params = None if params_type is None else value_of(params_type, random)
            yield Message(method, params, is_request, is_valid=True)
            for _ in range(2):
                yield Message(method, spoilt(params, random), is_request, is_valid=False)


def value_of(kind: Any, random: Random, depth: int = 0) -> Any:
    """Return JSON that fits a type's annotation."""
    if kind in (Any, object):
        return random.choice(WRONG)
    if isinstance(kind, (str, typing.ForwardRef)):
        return value_of(types.ALL_TYPES_MAP[getattr(kind, "__forward_arg__", kind)], random, depth)
    if typing.get_origin(kind) is not None:
        return _value_of_generic(kind, random, depth)
    if attrs.has(kind):
        return _object_of(kind, random, depth)
    is_enumeration = isinstance(kind, type) and issubclass(kind, enum.Enum)
    return random.choice(list(kind)).value if is_enumeration else random.choice(PLAIN[kind])


def _value_of_generic(kind: Any, random: Random, depth: int) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return random.choice(arguments)
    if origin in (typing.Union, builtin_types.UnionType):
        plain = [one for one in arguments if depth < MAX_DEPTH or not _is_nested(one)]
        return value_of(random.choice(plain or arguments), random, depth)
    if origin is tuple:
        return [value_of(one, random, depth + 1) for one in arguments if one is not ...]
    if issubclass(origin, Mapping):
        return {random.choice(TEXTS): value_of(arguments[1], random, depth + 1)}
    length = random.randint(0, 2) if depth < MAX_DEPTH else 0
    return [value_of(arguments[0], random, depth + 1) for _ in range(length)]


def spoilt(params: Any, random: Random) -> Any:
    """Return `params` with one value, somewhere, wrong or missing."""
    if isinstance(params, dict) and params and random.random() < 0.8:
        name = random.choice(list(params))
        others = {other: value for other, value in params.items() if other != name}
        return others if random.random() < 0.3 else {**params, name: spoilt(params[name], random)}
    if isinstance(params, list) and params and random.random() < 0.8:
        index = random.randrange(len(params))
        return [*params[:index], spoilt(params[index], random), *params[index + 1 :]]
    return random.choice(WRONG)


def _object_of(kind: type[Any], random: Random, depth: int) -> dict[str, Any]:
    attrs.resolve_types(kind, dict(types.ALL_TYPES_MAP), {})
    values = dict[str, Any]()
    for field in attrs.fields(kind):
        if isinstance(field.default, str):  # the one word that tells this type from others
            values[_camel_case(field.name)] = field.default
            continue
        is_optional = field.default is not attrs.NOTHING
        if is_optional and (depth >= MAX_DEPTH or random.random() < 0.5):
            continue
        value = value_of(field.type, random, depth + 1)
        if value is not None or not is_optional:
            values[_camel_case(field.name)] = value
    return values


def _is_nested(kind: Any) -> bool:
    return attrs.has(kind) or typing.get_origin(kind) is not None


def _camel_case(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name.rstrip("_"))
