"""Find the statements, blocks, comments and docstrings of a file: the holes worth cutting.

The sole user of tree-sitter here. Its offsets are bytes; all that leaves this file are characters.
"""

import functools
import random
import zlib
from collections.abc import Iterable
from typing import Final

import tree_sitter
import tree_sitter_javascript
import tree_sitter_python
import tree_sitter_typescript

Hole = tuple[int, int]

MIN_HOLE: Final = 6
MAX_HOLE: Final = 1200
CHARACTERS_PER_HOLE: Final = 400
"""How densely holes are kept: more than a file is ever cut at, few enough to travel with it."""

_PYTHON: Final = """
(module (_) @part) (block (_) @part) (function_definition body: (block) @part)
(class_definition body: (block) @part) (comment) @part (argument_list) @part
"""
_JAVASCRIPT: Final = """
(program (_) @part) (statement_block (_) @part) (statement_block) @part (class_body (_) @part)
(comment) @part (arguments) @part (object) @part
"""
_GRAMMARS: Final = {
    "python": (tree_sitter_python.language, _PYTHON),
    "javascript": (tree_sitter_javascript.language, _JAVASCRIPT),
    "typescript": (tree_sitter_typescript.language_typescript, _JAVASCRIPT),
    "tsx": (tree_sitter_typescript.language_tsx, _JAVASCRIPT),
}


def find_holes(text: str, language: str, path: str) -> tuple[Hole, ...]:
    """Return some of the syntactic parts of a text, in order; the same ones for the same text.

    Empty for a language without a grammar.
    """
    grammar = "tsx" if path.endswith(".tsx") else language
    if grammar not in _GRAMMARS:
        return ()
    content = text.encode()
    holes = sorted({hole for hole in _parts(content, grammar) if _is_fitting(hole)})
    wanted = min(len(holes), len(text) // CHARACTERS_PER_HOLE + 1)
    chosen = sorted(random.Random(zlib.crc32(content)).sample(holes, wanted))  # noqa: S311
    return tuple(chosen) if text.isascii() else tuple(_in_characters(content, chosen))


def _parts(content: bytes, grammar: str) -> Iterable[Hole]:
    parser, query = _parser(grammar)
    tree = parser.parse(content)
    captures = tree_sitter.QueryCursor(query).captures(tree.root_node)
    return ((node.start_byte, node.end_byte) for node in captures.get("part", ()))


def _is_fitting(hole: Hole) -> bool:
    return MIN_HOLE <= hole[1] - hole[0] <= MAX_HOLE


def _in_characters(content: bytes, holes: Iterable[Hole]) -> Iterable[Hole]:
    for start, end in holes:
        first = len(content[:start].decode())
        yield first, first + len(content[start:end].decode())


@functools.cache
def _parser(grammar: str) -> tuple[tree_sitter.Parser, tree_sitter.Query]:
    pointer, query = _GRAMMARS[grammar]
    language = tree_sitter.Language(pointer())
    return tree_sitter.Parser(language), tree_sitter.Query(language, query)
