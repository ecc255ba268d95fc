"""Holes are whole syntactic parts, counted in characters."""

import pytest

pytest.importorskip("tree_sitter_typescript")

from training.corpus.syntax import MAX_HOLE, MIN_HOLE, find_holes

pytestmark = pytest.mark.parity

PYTHON = '''"""Shapes."""
def area(width, height):
    """In square metres."""
    # both may be zero
    if width < 0:
        raise ValueError(width)
    return width * height
'''


def check(text: str, language: str, *parts: str, path: str = "some.py") -> None:
    """Every part is a hole of the text; all of them are shown by repeating the text."""
    found = {text[start:end] for start, end in find_holes(text + "\n" * 40_000, language, path)}
    assert set(parts) <= found


def test_statements_blocks_comments_and_docstrings_of_python() -> None:
    check(
        PYTHON, "python", '"""In square metres."""', "# both may be zero", "return width * height",
        "raise ValueError(width)", "if width < 0:\n        raise ValueError(width)",
    )  # fmt: skip


def test_characters_before_a_hole_may_be_wider_than_a_byte() -> None:
    check("größe = 'naïve — Δ'\nreturn_value = größe + 1\n", "python", "return_value = größe + 1")


def test_statements_and_blocks_of_javascript() -> None:
    text = "function area(w, h) {\n  // no units\n  return w * h;\n}\n"
    block = "{\n  // no units\n  return w * h;\n}"
    check(text, "javascript", "return w * h;", "// no units", block, path="a.js")


def test_types_and_elements_are_understood() -> None:
    text = "const Area = (p: Props): Element => { return <b>{p.size}</b>; };\n"
    check(text, "typescript", "return <b>{p.size}</b>;", path="area.tsx")


def test_prose_has_no_holes() -> None:
    assert find_holes("# Shapes\n\nAreas of shapes.\n" * 20, "markdown", "README.md") == ()


def test_holes_are_neither_tiny_nor_huge_and_the_same_every_time() -> None:
    text = PYTHON * 60
    holes = find_holes(text, "python", "some.py")
    assert holes == find_holes(text, "python", "some.py")
    assert all(MIN_HOLE <= end - start <= MAX_HOLE for start, end in holes)
    assert 0 < len(holes) <= len(text) // 400 + 1
