"""Turn the fetched packages into the cleaned corpus: one file of documents for each role.

    python -m training.corpus.collect [--processes 2]

Held-out packages are read first, so that a training file that copies one of theirs is the copy
that goes. Writes data/documents/{train,validation,test}.jsonl, data/report.json and CORPUS.md.
"""

import argparse
import concurrent.futures
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from training.corpus import data_card
from training.corpus.clean import decoded, refusal, without_licence_header
from training.corpus.credentials import has_secret
from training.corpus.decontaminate import is_contaminated, load_problems
from training.corpus.deduplicate import Hashes, NearDuplicates, signature_of
from training.corpus.documents import (
    DOCUMENTS_FOLDER,
    Document,
    language_of,
    read_package,
    write_documents,
)
from training.corpus.fetch import archive_name
from training.corpus.sources import CORPUS_FILE, DATA_FOLDER, Package, Role, read_corpus
from training.corpus.syntax import find_holes
from training.errors import tell

_ROLES: Final[Sequence[Role]] = ("test", "validation", "train")


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What one package gave: documents with their signatures, and characters refused by reason."""

    package: Package
    documents: Sequence[Document]
    signatures: Sequence[Hashes]
    refused: Mapping[str, int]


def gather(package: Package) -> Gathered:
    """Read, judge and sign every file of a package."""
    archive = DATA_FOLDER / "archives" / archive_name(package) if package.sha256 else None
    problems = load_problems()
    documents: list[Document] = []
    refused: Counter[str] = Counter()
    for path, content in read_package(package, archive):
        document = _document(package, path, content)
        reason = "not UTF-8" if document is None else _reason(document, problems)
        if document is None or reason:
            refused[reason or "not UTF-8"] += len(content)
        else:
            holes = find_holes(document.text, document.language, path)
            documents.append(msgspec.structs.replace(document, holes=holes))
    signatures = [signature_of(document.text) for document in documents]
    return Gathered(package=package, documents=documents, signatures=signatures, refused=refused)


def _document(package: Package, path: str, content: bytes) -> Document | None:
    text, language = decoded(content), language_of(path)
    if text is None or language is None:
        return None
    return Document(
        package=package.name, path=path, language=language, text=without_licence_header(text)
    )


def _reason(document: Document, problems: Hashes) -> str | None:
    if reason := refusal(document):
        return reason
    if has_secret(document.text):
        return "a secret"
    return "a HumanEval problem" if is_contaminated(document.text, problems) else None


def without_duplicates(
    gathered: Iterator[Gathered], known: NearDuplicates, refused: Counter[str]
) -> Iterator[Document]:
    """Yield each document whose like was not seen before; count the characters of the others."""
    exact: set[str] = set()
    number = 0
    for package in gathered:
        refused.update(package.refused)
        for document, signature in zip(package.documents, package.signatures, strict=True):
            number += 1
            if document.text in exact:
                refused["exact copy"] += len(document.text)
            elif known.add(signature, number) is not None:
                refused["near copy"] += len(document.text)
            else:
                exact.add(document.text)
                yield document


def collect(packages: Sequence[Package], *, processes: int) -> Mapping[str, object]:
    """Write the documents of every role and return the report."""
    known = NearDuplicates()
    report: dict[str, object] = {}
    with concurrent.futures.ProcessPoolExecutor(processes) as executor:
        for role in _ROLES:
            refused: Counter[str] = Counter()
            kept: Counter[tuple[str, str]] = Counter()
            chosen = [package for package in packages if package.role == role]
            documents = without_duplicates(executor.map(gather, chosen), known, refused)
            write_documents(DOCUMENTS_FOLDER / f"{role}.jsonl", _counted(documents, kept))
            report[role] = data_card.summary(kept, refused)
    return report


def _counted(documents: Iterator[Document], kept: Counter[tuple[str, str]]) -> Iterator[Document]:
    for document in documents:
        kept[document.package, document.language] += len(document.text)
        yield document


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.corpus.collect", description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    packages = read_corpus()
    report = collect(packages, processes=options.processes)
    (DATA_FOLDER / "report.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    card = data_card.write(packages, report)
    (CORPUS_FILE.parent / "CORPUS.md").write_text(card, "utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    tell(main)
