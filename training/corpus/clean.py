"""Decide which files are worth learning from. Each rule is a pure function of path and text.

A rule returns why a file is refused, or None. RULES are asked in order, the cheap ones first; the
first reason is the one that the report counts.
"""

import ast
import re
import warnings
from collections.abc import Callable
from typing import Final

from training.corpus.documents import Document

Rule = Callable[[Document], str | None]

MAX_LINE_CHARACTERS: Final = 400
MIN_CHARACTERS: Final = 160
MAX_CHARACTERS: Final = 300_000

_VENDORED: Final = re.compile(
    r"(^|/)(_?vendor(ed)?|_vendored_\w+|third_?party|extern(al|als)?|node_modules|site-packages"
    r"|bundled|_distutils_hook|lib2to3|idlelib/help|typeshed|stubs)(/|$)"
)
_GENERATED_PATH: Final = re.compile(
    r"(_pb2(_grpc)?\.py|\.min\.\w+|\.umd\.\w+|\.bundle\.\w+|\.generated\.\w+|[-.]esm\.js)$"
    r"|(^|/)(locale|locales|i18n|l10n|nls|dist|umd|min|cldr|messages|generated|lexers/_\w+)(/|$)"
    r"|(CHANGELOG|CHANGES|HISTORY|ChangeLog|whatsnew|releasenotes|AUTHORS)",
    re.IGNORECASE,
)
_GENERATED_TEXT: Final = re.compile(
    r"@generated|do not edit|do not modify|auto(matically)?[- ]?generated|generated (by|from)\b"
    r"|this file (is|was) generated|sourceMappingURL=data|eslint-disable max-len \*/ !function",
    re.IGNORECASE,
)
_DATA_LINE: Final = re.compile(r"""^\s*[-\[({]*\s*(["'][^"']*["']|[-+.\dxA-Fe_jLu]+)?\s*[:,\])}]""")
_OPENING_COMMENT: Final = re.compile(r"(#!.*\n)?\s*((#.*\n|//.*\n)+|/\*[\s\S]*?\*/\s*)")
_LICENCE: Final = re.compile(r"licen[sc]e|copyright", re.IGNORECASE)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def refusal(document: Document) -> str | None:
    """Return why a document is left out, None where it is kept."""
    reasons = (rule(document) for rule in RULES)
    return next((reason for reason in reasons if reason), None)


def decoded(content: bytes) -> str | None:
    """Return the text with plain line ends, None where it is not UTF-8 or holds a NUL."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.replace("\r\n", "\n").replace("\r", "\n")


def without_licence_header(text: str) -> str:
    """Cut the comment that opens a file where it speaks of licence or copyright.

    It is the same in thousands of files, and no completion should ever suggest it.
    """
    match = _OPENING_COMMENT.match(text)
    if match and _LICENCE.search(match[0]):
        return text[match.end() :].lstrip("\n")
    return text


def vendored(document: Document) -> str | None:
    return "vendored copy" if _VENDORED.search(document.path) else None


def generated(document: Document) -> str | None:
    is_generated = _GENERATED_PATH.search(document.path) or _GENERATED_TEXT.search(
        document.text[:1500]
    )
    return "generated or a change log" if is_generated else None


def length(document: Document) -> str | None:
    if len(document.text) < MIN_CHARACTERS:
        return "too short"
    return "too long" if len(document.text) > MAX_CHARACTERS else None


def long_lines(document: Document) -> str | None:
    longest = max(map(len, document.text.split("\n")))
    return f"a line over {MAX_LINE_CHARACTERS}" if longest > MAX_LINE_CHARACTERS else None


def data_like(document: Document) -> str | None:
    """Refuse tables of literals: most lines begin with one, or a fifth of the text is digits."""
    lines = [line for line in document.text.split("\n") if line.strip()]
    is_table = sum(map(bool, map(_DATA_LINE.match, lines))) > 0.6 * len(lines)
    num_digits = sum(map(document.text.count, "0123456789"))
    return "data" if is_table or num_digits > 0.2 * len(document.text) else None


def foreign(document: Document) -> str | None:
    num_foreign = len(_NOT_ASCII.findall(document.text))
    return "mostly not ASCII" if num_foreign > 0.1 * len(document.text) else None


def unparsable(document: Document) -> str | None:
    if document.language != "python":
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "no valid Python"
    return None


RULES: Final[tuple[Rule, ...]] = (
    vendored,
    generated,
    length,
    long_lines,
    foreign,
    data_like,
    unparsable,
)
