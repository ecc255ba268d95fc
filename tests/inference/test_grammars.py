"""Each language's grammar, and what its table says of it."""

import pytest

from inference import syntax
from inference.languages import language_for

SCOPES = [
    ("c", "int f() { // note<|>\n return 1; }", "comment"),
    ("c", 'char *s = "a<|>b";', "string"),
    ("c", "int f() { return <|>1; }", "code"),
    ("c", "/* a */<|> int x;", "code"),
    ("c", "/* a<|> */ int x;", "comment"),
    ("cpp", 'auto s = R"(a<|>b)";', "string"),
    ("cpp", "std::vector<int> v<|>;", "code"),
    ("csharp", 'var s = @"a<|>b";', "string"),
    ("csharp", 'var s = $"a{<|>x}";', "code"),
    ("csharp", 'var s = $"a<|>b{x}";', "string"),
    ("csharp", "/// <summary>a<|></summary>\nclass A {}", "comment"),
    ("java", 'class A { String s = "a<|>b"; }', "string"),
    ("java", "class A { /** doc<|> */ int x; }", "comment"),
    ("go", "package a\nvar s = `a<|>b`\n", "string"),
    ("go", "package a\n// note<|>\n", "comment"),
    ("go", "package a\nfunc f() { return <|> }", "code"),
    ("rust", 'fn f() { let s = "a<|>b"; }', "string"),
    ("rust", "/// doc<|>\nfn f() {}", "comment"),
    ("rust", "fn f() {\n    <|>\n}", "code"),
    ("rust", 'fn f() { let s = r#"a<|>b"#; }', "string"),
    ("shellscript", 'echo "a<|>b"', "string"),
    ("shellscript", "# note<|>\n", "comment"),
    ("shellscript", 'echo "$(ls <|>x)"', "code"),
    ("shellscript", "echo 'a<|>b'", "string"),
    ("shellscript", "cat <<E\na<|>b\nE\n", "string"),
    ("lua", 'local s = "a<|>b"', "string"),
    ("lua", "-- note<|>\n", "comment"),
    ("lua", "local x = <|>1", "code"),
    ("ruby", 's = "a<|>b"', "string"),
    ("ruby", 's = "a#{<|>x}"', "code"),
    ("ruby", "# note<|>\n", "comment"),
    ("ruby", "s = 'a<|>b'", "string"),
    ("php", "<?php $s = 'a<|>b';", "string"),
    ("php", '<?php $s = "a<|>b";', "string"),
    ("php", "<?php // note<|>\n", "comment"),
    ("php", "<?php $x = <|>1;", "code"),
    ("css", 'a { content: "x<|>y"; }', "string"),
    ("css", "/* note<|> */", "comment"),
    ("css", "a { color: <|>red; }", "code"),
    ("html", '<a href="x<|>y">t</a>', "string"),
    ("html", "<!-- no<|>te -->", "comment"),
    ("html", "<p>tex<|>t</p>", "code"),
    ("json", '{"a": "x<|>y"}', "string"),
    ("json", '{"a": <|>1}', "code"),
    ("toml", 'a = "x<|>y"', "string"),
    ("toml", "# note<|>\n", "comment"),
    ("yaml", 'a: "x<|>y"', "string"),
    ("yaml", "# note<|>\n", "comment"),
    ("yaml", "a: |\n  x<|>y\n", "string"),
    ("yaml", "a: x<|>", "code"),
    ("rust", "fn f<'a>(x: &'a str, y: &<|>", "code"),
    ("c", 'puts("a<|>\n', "string"),
    ("html", "<p>it's <|>", "code"),
]

BLOCKS = {
    "c": ("int f(int a) {\n  int b = a;\n  return b;\n}\n", "int b = a;\n  return b;"),
    "cpp": ("void f() {\n  g();\n  throw 1;\n}\n", "g();\n  throw 1;"),
    "csharp": ("class A { void F() { var a = 1; return; } }", "var a = 1; return;"),
    "java": ("class A { int f() { int a = 1; return a; } }", "int a = 1; return a;"),
    "go": ("package a\nfunc f() int {\n\ta := 1\n\treturn a\n}\n", "a := 1\n\treturn a"),
    "rust": ("fn f() {\n    let a = 1;\n    g(a);\n}\n", "let a = 1;\n    g(a);"),
    "shellscript": ("f() {\n  a=1\n  echo $a\n}\n", "a=1\n  echo $a"),
    "lua": ("function f()\n  local a = 1\n  return a\nend\n", "local a = 1\n  return a"),
    "ruby": ("def f\n  a = 1\n  g(a)\nend\n", "a = 1\n  g(a)"),
    "php": ("<?php function f() { $a = 1; return $a; }", "$a = 1; return $a;"),
    "css": ("a { color: red; top: 0; }", "color: red; top: 0;"),
}

LANGUAGES = (
    *("python", "javascript", "javascriptreact", "typescript", "typescriptreact", *BLOCKS),
    *("html", "json", "toml", "yaml"),
)


@pytest.mark.parametrize(("language", "source", "scope"), SCOPES)
def test_a_cursor_stands_in_code_or_in_text(language: str, source: str, scope: str) -> None:
    found = syntax.place(*source.split("<|>"), language)
    assert found is not None
    assert found.scope == scope


@pytest.mark.parametrize("language", BLOCKS)
def test_a_block_of_two_statements(language: str) -> None:
    source, inside = BLOCKS[language]
    assert syntax.num_errors(source, language) == 0
    (block,) = syntax.blocks(source, language)
    assert source[block.start : block.end] == inside
    within = [
        source[start:end]
        for start, end in syntax.statements(source, language)
        if block.start <= start
        and end <= block.end
        and inside.startswith(source[start:end]) | inside.endswith(source[start:end])
    ]
    assert len(within) >= 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_type_is_one_of_the_grammar(language: str) -> None:
    """A misspelt type would find nothing, for ever and in silence."""
    known = language_for(language)
    assert known.grammar is not None
    types = syntax.node_types(known.grammar)
    assert {*known.statement_nodes, *known.block_nodes} <= types
