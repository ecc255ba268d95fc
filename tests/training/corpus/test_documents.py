"""Archives give their source files, and documents survive being written and packed."""

import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from training.corpus.documents import (
    Document,
    language_of,
    read_documents,
    read_package,
    write_documents,
)
from training.corpus.pack import pack, read_shards, write_shard
from training.corpus.sources import Kind, Package
from training.errors import TrainingError

FILES = {"shapes/area.py": b"x = 1\n", "shapes/logo.png": b"\x89PNG", "README.md": b"# Shapes\n"}
WANTED = {name: content for name, content in FILES.items() if not name.endswith("png")}


def package(kind: Kind) -> Package:
    return Package(name="shapes", kind=kind, version="1", licence="MIT", sha256="0" * 64)


def check(kind: Kind, archive: Path) -> None:
    assert dict(read_package(package(kind), archive)) == WANTED


def test_a_wheel_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shapes.whl"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in FILES.items():
            file.writestr(name, content)
    check("wheel", path)


@pytest.mark.parametrize("kind", ["sdist", "npm"])
def test_the_folder_around_a_source_archive_is_left_out(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "shapes.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"shapes-1/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    check(kind, path)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_of_a_manual_that_debian_packs_its_own_files_are_read(tmp_path: Path) -> None:
    html = tmp_path / "unpacked" / "usr" / "share" / "doc" / "shapes" / "html"
    for name in ("index.html", "_sources/index.rst.txt", "_sources/guide/area.rst.txt"):
        (html / name).parent.mkdir(parents=True, exist_ok=True)
        (html / name).write_text(name)
    control = tmp_path / "unpacked" / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        "Package: shapes-doc\nVersion: 1\nArchitecture: all\nMaintainer: us\nDescription: none\n"
    )
    path = tmp_path / "shapes.deb"
    command = ["dpkg-deb", "--build", "--root-owner-group", str(control.parents[1]), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    read = dict(read_package(package("debian"), path))
    assert read == {
        "index.rst.txt": b"_sources/index.rst.txt",
        "guide/area.rst.txt": b"_sources/guide/area.rst.txt",
    }


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_a_manual_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "shapes.deb").write_bytes(b"!<arch>\nnot really")
    with pytest.raises(TrainingError, match=r"shapes\.deb cannot be read"):
        dict(read_package(package("debian"), tmp_path / "shapes.deb"))


def test_a_missing_archive_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"run python -m training\.corpus\.fetch"):
        dict(read_package(package("wheel"), tmp_path / "none.whl"))


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "python"),
        ("a.TSX", "typescript"),
        ("a.cjs", "javascript"),
        ("a.d.ts", None),
        ("a.png", None),
        ("Makefile", None),
        ("doc.rst", "restructuredtext"),
        ("django/docs/ref/models.txt", "restructuredtext"),
        ("library/asyncio.rst.txt", "restructuredtext"),
        ("docs/requirements.txt", None),
        ("docs/requirements/all.txt", None),
        ("notes.txt", None),
    ],
)
def test_languages_go_by_the_ending(path: str, language: str | None) -> None:
    assert language_of(path) == language


def documents(count: int) -> list[Document]:
    return [
        Document(
            package=f"package_{number % 5}",
            path=f"{number}.py",
            language="python",
            text=f"größe = {number}\n" * (1 + number),
            holes=((0, 5), (3, 9)),
        )
        for number in range(count)
    ]


def test_documents_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_documents(tmp_path / "some.jsonl", documents(9))
    assert list(read_documents(tmp_path / "some.jsonl")) == documents(9)


def test_shards_hold_every_document_and_whole_packages(tmp_path: Path) -> None:
    shards = pack(documents(40), 2)
    for number, shard in enumerate(shards):
        assert write_shard(tmp_path / f"train-{number}.jsonl.xz", shard) > 1
    packages = [{document.package for document in shard} for shard in shards]
    assert not packages[0] & packages[1]
    found = sorted(read_shards(tmp_path), key=lambda document: int(document.path[:-3]))
    assert found == documents(40)


def test_a_folder_without_shards_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"run python -m training\.corpus\.pack"):
        list(read_shards(tmp_path))
