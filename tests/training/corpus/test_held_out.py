"""Held-out documents become files again, inside the folder and nowhere else."""

from pathlib import Path

import pytest

from training.corpus.documents import Document
from training.corpus.held_out import write_files
from training.errors import TrainingError


def document(path: str, text: str = "x = 1\n") -> Document:
    return Document(package="pack", path=path, language="python", text=text)


def test_documents_are_written_as_they_are(tmp_path: Path) -> None:
    texts = {"a.py": "a\r\nb\n", "deep/er/b.py": "é\n"}
    assert write_files([document(*item) for item in texts.items()], tmp_path) == len(texts)
    for path, text in texts.items():
        assert (tmp_path / "pack" / path).read_bytes() == text.encode()


@pytest.mark.parametrize("path", ["../../out.py", "/etc/out.py"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(TrainingError, match="leads out"):
        write_files([document(path)], tmp_path / "inside")
