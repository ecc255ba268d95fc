"""The function around a cursor, in languages of several kinds, without a grammar."""

import argparse
import ast
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.actions.definitions import definition_at


def check(marked: str, name: str | None, *, text: str = "", body: str = "") -> None:
    before, behind = marked.split("<|>")
    found = definition_at(before + behind, len(before))
    assert (found and found.name) == name
    if found is not None and text:
        assert found.text_in(before + behind) == text
    if found is not None and body:
        assert (before + behind)[found.body : found.end] == body


@pytest.mark.parametrize(
    ("marked", "name"),
    [
        ("function add(a, b) {\n  return <|>a;\n}\n", "add"),
        ("export async function add(a) {\n  return <|>a;\n}\n", "add"),
        ("const add = (a, b) => {\n  return <|>a;\n};\n", "add"),
        ("class A {\n  add(a) {\n    if (a) {\n      return <|>a;\n    }\n  }\n}\n", "add"),
        ("pub fn add(a: i32) -> i32 {\n    a<|>\n}\n", "add"),
        ("func (s *Stack) Push(x int) {\n\ts.x = <|>x\n}\n", "Push"),
        ("static int add(int a, int b) {\n    return <|>a;\n}\n", "add"),
        ("public static int add(int a)\n{\n    return <|>a;\n}\n", "add"),
        ("def add(\n    a,\n    b,\n):\n    return <|>a\n", "add"),
        ("def outer():\n    def inner():\n        pass\n    return <|>inner\n", "outer"),
        ("def outer():\n    def inner():\n        <|>pass\n    return inner\n", "inner"),
        ("def f():\n    pass\n\n\nx = <|>1\n", None),
        ("if (a) {\n  b(<|>);\n}\n", None),
        ("<|>", None),
    ],
)
def test_it_is_found_by_its_header_and_indentation(marked: str, name: str | None) -> None:
    check(marked, name)


def test_its_parts_are_told_apart() -> None:
    check(
        "x = 1\n\n\ndef add(\n    a,\n):\n    # sum\n    return <|>a\n\n\ny = 2\n",
        "add",
        text="def add(\n    a,\n):\n    # sum\n    return a",
        body="    # sum\n    return a",
    )


def test_every_function_of_a_real_file_is_found() -> None:
    source = inspect.getsource(argparse)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    assert len(functions) > 100
    for node in functions:
        first = node.body[0]
        found = definition_at(source, starts[first.lineno - 1] + first.col_offset)
        assert found is not None, node.name
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        end = starts[node.end_lineno - 1] + node.end_col_offset
        assert (found.name, found.start, found.end) == (node.name, starts[node.lineno - 1], end)


@given(st.text("def f():{}\n\t x(=>"), st.integers(0, 200))
def test_whatever_the_text_its_parts_are_in_order(text: str, offset: int) -> None:
    found = definition_at(text, min(offset, len(text)))
    if found is not None:
        assert 0 <= found.start <= found.body <= found.end <= len(text)
