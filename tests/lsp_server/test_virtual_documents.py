from hypothesis import given
from hypothesis import strategies as st

from lsp_server.virtual_documents import MAX_CHARACTERS, MAX_TEXTS, VirtualDocuments


def check(texts: VirtualDocuments, uri: str, text: str | None) -> None:
    assert texts.get(uri) == text


def test_a_text_is_found_by_its_uri() -> None:
    texts = VirtualDocuments()
    assert texts.put("explanation of f.md", "it adds") == "inkling:explanation%20of%20f.md"
    check(texts, "inkling:explanation%20of%20f.md", "it adds")
    check(texts, "inkling:explanation of f.md", "it adds")
    check(texts, "INKLING:explanation of%20f%2Emd", "it adds")


def test_what_is_not_held_is_none() -> None:
    texts = VirtualDocuments()
    texts.put("a", "b")
    for uri in ("inkling:b", "file:a", "a", "", "inkling:", "inkling://a", "inkling:../a"):
        check(texts, uri, None)


def test_a_newer_text_takes_the_place_of_an_older_one() -> None:
    texts = VirtualDocuments()
    uris = {texts.put("a", text) for text in ("one", "two")}
    check(texts, *uris, "two")


def test_the_oldest_are_forgotten() -> None:
    texts = VirtualDocuments()
    uris = [texts.put(str(number), "x") for number in range(MAX_TEXTS)]
    texts.put("0", "newer")
    texts.put("one more", "x")
    check(texts, uris[0], "newer")
    check(texts, uris[1], None)


def test_long_texts_are_bounded_together_and_each() -> None:
    texts = VirtualDocuments()
    first = texts.put("a", "x" * (MAX_CHARACTERS - 1))
    second = texts.put("b", "yy")
    check(texts, first, None)
    check(texts, second, "yy")
    check(texts, texts.put("c", "z" * (2 * MAX_CHARACTERS)), "z" * MAX_CHARACTERS)


@given(st.text())
def test_any_path_leads_back_to_its_text(path: str) -> None:
    encodable = path.encode("utf-8", "replace").decode("utf-8")
    texts = VirtualDocuments()
    check(texts, texts.put(encodable, "text"), "text")
