"""Ask a grammar about a text: how many syntax errors, where statements and blocks stand.

The sole user of tree_sitter. Pure: text in, numbers out. A language whose table names no grammar
has no answer, which is not an error. Offsets are in characters, as everywhere in the engine.
"""

import functools
import importlib
from collections.abc import Collection, Generator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tree_sitter

from inference.languages import language_for


class Span(NamedTuple):
    """Offsets of the first character and of the one behind the last."""

    start: int
    end: int


def num_errors(text: str, language_id: str) -> int | None:
    """Count what the grammar had to skip or to invent; None where there is no grammar.

    A grammar accepts more than a compiler does: no errors means well formed, not correct.
    """
    grammar = language_for(language_id).grammar
    if grammar is None:
        return None
    return sum(1 for _ in _errors(_parse(grammar, _encoded(text))))


def statements(text: str, language_id: str) -> list[Span]:
    """Return the statements without a block in them, in order."""
    language = language_for(language_id)
    if language.grammar is None:
        return []
    encoded = _encoded(text)
    nodes = _nodes(_parse(language.grammar, encoded), language.statement_nodes)
    return _spans(encoded, [(node.start_byte, node.end_byte) for node in nodes])


def blocks(text: str, language_id: str) -> list[Span]:
    """Return what stands inside each block, without its braces, outermost first."""
    language = language_for(language_id)
    if language.grammar is None:
        return []
    encoded = _encoded(text)
    contents = [
        node.named_children
        for node in _nodes(_parse(language.grammar, encoded), language.block_nodes)
    ]
    return _spans(
        encoded, [(nodes[0].start_byte, nodes[-1].end_byte) for nodes in contents if nodes]
    )


def node_types(grammar: str) -> frozenset[str]:
    """Return the names of a grammar's named nodes, to check a language's table against."""
    language = _language(grammar)
    names = (
        language.node_kind_for_id(number)
        for number in range(language.node_kind_count)
        if language.node_kind_is_named(number)
    )
    return frozenset(name for name in names if name is not None)


def _encoded(text: str) -> bytes:
    """Half a surrogate pair becomes one question mark, so that characters are counted right."""
    return text.encode("utf-8", "replace")


def _parse(grammar: str, encoded: bytes) -> tree_sitter.Node:
    return tree_sitter.Parser(_language(grammar)).parse(encoded).root_node


@functools.cache
def _language(grammar: str) -> tree_sitter.Language:
    module_name, function = grammar.split(":")
    pointer: object = getattr(importlib.import_module(module_name), function)()
    return tree_sitter.Language(pointer)


def _errors(node: tree_sitter.Node) -> Generator[tree_sitter.Node]:
    pending = [node]
    while pending:
        node = pending.pop()
        if node.is_error or node.is_missing:
            yield node
        pending += [child for child in node.children if child.has_error]


def _nodes(node: tree_sitter.Node, types: Collection[str]) -> Generator[tree_sitter.Node]:
    pending = [node]
    while pending:
        node = pending.pop()
        if node.type in types:
            yield node
        pending += reversed(node.named_children)


def _spans(encoded: bytes, byte_spans: list[tuple[int, int]]) -> list[Span]:
    index = _characters_before(encoded)
    return [Span(int(index[start]), int(index[end])) for start, end in byte_spans]


def _characters_before(encoded: bytes) -> npt.NDArray[np.int64]:  # [num_bytes + 1]
    """Count the characters before each byte; in UTF-8 a byte of the form 10xxxxxx starts none."""
    starts = (np.frombuffer(encoded, np.uint8) & 0xC0) != 0x80
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(starts, dtype=np.int64)])
