"""From archives to documents: what is refused is counted, what is kept is kept once."""

from collections import Counter

import pytest

pytest.importorskip("detect_secrets")
pytest.importorskip("tree_sitter")

from training.corpus import collect
from training.corpus.credentials import has_secret
from training.corpus.data_card import summary, write
from training.corpus.deduplicate import NearDuplicates, signature_of
from training.corpus.documents import Document
from training.corpus.sources import CORPUS_FILE, Package

pytestmark = pytest.mark.parity

CODE = "".join(f"def area_{n}(width, height):\n    return width * height * {n}\n" for n in range(9))
PACKAGE = Package(name="shapes", kind="installed", version="1", licence="MIT")


def check(text: str, *, is_secret: bool) -> None:
    assert has_secret(CODE + text) == is_secret


def test_keys_of_services_are_secrets() -> None:
    check("key = 'AKIA" + "IOSFODNN7EXAMPL3'\n", is_secret=True)
    check("token = 'ghp_" + "a1B2" * 9 + "'\n", is_secret=True)
    check("-----BEGIN RSA PRIVATE " + "KEY-----\n", is_secret=True)


def test_a_password_of_a_test_is_none() -> None:
    check("client.login(password='hunter2')\n", is_secret=False)


def gathered(*texts: str) -> collect.Gathered:
    documents = [
        Document(package="shapes", path=f"{number}.py", language="python", text=text)
        for number, text in enumerate(texts)
    ]
    signatures = [signature_of(text) for text in texts]
    return collect.Gathered(
        package=PACKAGE, documents=documents, signatures=signatures, refused={"data": 5}
    )


def test_copies_are_kept_once_and_counted() -> None:
    refused: Counter[str] = Counter()
    given = gathered(CODE, CODE, CODE.replace("\n", "\n\n"), "another = 1\n" * 30)
    kept = list(collect.without_duplicates(iter([given]), NearDuplicates(), refused))
    assert [document.path for document in kept] == ["0.py", "3.py"]
    assert refused.keys() == {"data", "exact copy", "near copy"}
    assert refused["exact copy"] == len(CODE)


def test_a_training_file_that_copies_a_held_out_one_goes() -> None:
    known, refused = NearDuplicates(), Counter[str]()
    assert list(collect.without_duplicates(iter([gathered(CODE)]), known, refused))
    later = gathered(CODE + "# changed\n")
    assert not list(collect.without_duplicates(iter([later]), known, refused))


def test_the_card_names_every_package_with_its_licence() -> None:
    kept = Counter({("shapes", "python"): 2_000_000})
    card = write([PACKAGE], {"train": summary(kept, Counter({"data": 1_000_000}))})
    assert "| shapes | 1 | MIT | train | 2.00 |" in card
    assert "| train | data | 1.0 |" in card


def test_the_committed_card_names_the_committed_packages() -> None:
    card = (CORPUS_FILE.parent / "CORPUS.md").read_text("utf-8")
    for package in collect.read_corpus():
        assert f"| {package.version} | {package.licence} | {package.role} |" in card
