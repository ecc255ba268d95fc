"""Write held-out packages as the files that they were, for `inkling eval` to cut holes into.

python -m training.corpus.held_out FOLDER [--role test]
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from training.corpus.documents import DOCUMENTS_FOLDER, Document, read_documents
from training.errors import TrainingError, tell


def write_files(documents: Iterable[Document], folder: Path) -> int:
    """Write each document at folder/package/path; return how many. Raises TrainingError."""
    count = 0
    for count, document in enumerate(documents, start=1):  # noqa: B007 - it is the result
        path = folder / document.package / document.path
        if not path.resolve().is_relative_to(folder.resolve()):
            raise TrainingError(f"{document.path} of {document.package} leads out of its package")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document.text, "utf-8", newline="")
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.corpus.held_out", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--role", choices=["validation", "test"], default="test")
    options = parser.parse_args(arguments)
    documents = read_documents(DOCUMENTS_FOLDER / f"{options.role}.jsonl")
    print(f"{write_files(documents, options.folder)} files in {options.folder.name}/")


if __name__ == "__main__":
    tell(main)
