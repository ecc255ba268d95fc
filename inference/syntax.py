"""Ask a grammar about a text: its errors, its statements and blocks, what a cursor stands in.

The sole user of tree_sitter. Pure: text in, numbers out. A language whose table names no grammar
has no answer, which is not an error. Offsets are in characters, as everywhere in the engine.
"""

import functools
import importlib
import re
from collections.abc import Collection, Generator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import tree_sitter

from inference.completion import SyntaxCheck, SyntaxScope, line_before
from inference.languages import language_for

CHECKED_BEFORE: Final = 12_000
CHECKED_BEHIND: Final = 4_000
"""Characters around a cursor that are parsed: about three milliseconds."""

_UNINDENTED: Final = re.compile(r"\n(?=\w)")
_STRING: Final = re.compile(
    r"((raw|interpreted|template|verbatim|encapsed|ansi_c)_)?string(_literal|_value)?"
    r"|interpolated_string_expression|(here|now)doc_body|(quoted_)?attribute_value"
    r"|(single_quote|double_quote|block)_scalar"
)
_QUOTED: Final = re.compile(r"([\"'`])(?:\\.|(?!\1)[^\\])*\1|//.*|(?<!\w)#.*")
_CODE_IN_STRING: Final = re.compile("interpolation|substitution")


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
    return _num_errors(_parse(grammar, _encoded(text)))


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


class Place:
    """A cursor in a text, parsed once; any completion there costs a small part of that.

    Only what is near is looked at, from a line without indentation on, so that a grammar begins
    where something does. `scope` and the errors are those that stand without a completion.
    """

    def __init__(self, grammar: str, prefix: str, suffix: str, quotes: str) -> None:
        self._parser = _parser(grammar)
        self._before = _encoded(_near_end(prefix))
        self._behind = _encoded(suffix[:CHECKED_BEHIND])
        self._tree = self._parser.parse(self._before + self._behind)
        self.scope: SyntaxScope = _scope_at(self._tree.root_node, len(self._before))
        if self.scope == "code" and self._tree.root_node.has_error and _is_open(quotes, prefix):
            self.scope = "string"  # one that is not closed yet is no string to a grammar
        self.num_errors = _num_errors(self._tree.root_node)

    def check(self, text: str) -> SyntaxCheck:
        """Say what `text` does to the syntax here."""
        written, start = _encoded(text), len(self._before)
        tree = self._tree.copy()
        row_and_column = _point(self._before)
        end = _point(self._before + written)
        tree.edit(start, start, start + len(written), row_and_column, row_and_column, end)
        filled = self._parser.parse(self._before + written + self._behind, tree)
        return SyntaxCheck(
            scope=self.scope,
            num_errors_before=self.num_errors,
            num_errors_after=_num_errors(filled.root_node),
        )


def place(prefix: str, suffix: str, language_id: str) -> Place | None:
    """Return the place between `prefix` and `suffix`, None where there is no grammar."""
    language = language_for(language_id)
    if language.grammar is None:
        return None
    return Place(language.grammar, prefix, suffix, language.quotes)


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
    return _parser(grammar).parse(encoded).root_node


def _parser(grammar: str) -> tree_sitter.Parser:
    return tree_sitter.Parser(_language(grammar))


@functools.cache
def _language(grammar: str) -> tree_sitter.Language:
    module_name, function = grammar.split(":")
    pointer: object = getattr(importlib.import_module(module_name), function)()
    return tree_sitter.Language(pointer)


def _num_errors(root: tree_sitter.Node) -> int:
    return sum(1 for _ in _errors(root))


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


def _near_end(prefix: str) -> str:
    """Cut a long prefix where a line begins without indentation; anywhere if none does."""
    if len(prefix) <= CHECKED_BEFORE:
        return prefix
    near = prefix[-CHECKED_BEFORE:]
    start = _UNINDENTED.search(near)
    return near[start.end() :] if start else near


def _scope_at(root: tree_sitter.Node, offset: int) -> SyntaxScope:
    """Return what the byte offset stands in; right behind what ends by itself is code again."""
    node = root.descendant_for_byte_range(max(0, offset - 1), offset)
    while node is not None and not _CODE_IN_STRING.search(node.type):
        if "comment" in node.type:
            # A line's comment goes on where it ends, one between two marks does not.
            is_behind = node.end_byte == offset and (node.text or b"").endswith((b"*/", b"-->"))
            return "code" if is_behind else "comment"
        if _STRING.fullmatch(node.type):
            if not node.start_byte < offset < node.end_byte:
                return "code"
            parent = node.parent
            if parent is not None and parent.type == "expression_statement":
                return "docstring"
            return "string"
        node = node.parent
    return "code"


def _is_open(quotes: str, prefix: str) -> bool:
    """Say whether a quote of the cursor's line is not closed before the cursor."""
    line = _QUOTED.sub("", line_before(prefix))
    return any(quote in line for quote in quotes)


def _point(encoded: bytes) -> tuple[int, int]:
    """Return the row and the column in bytes behind a text, as tree_sitter counts them."""
    return encoded.count(b"\n"), len(encoded) - encoded.rfind(b"\n") - 1
