"""corpus.toml is understood, and what it must not say is refused."""

from pathlib import Path

import pytest

from training.corpus.fetch import archive_name, fetch, pin, sha256_of, version_in
from training.corpus.sources import ALLOWED_LICENCES, Package, read_corpus
from training.errors import TrainingError

TABLE = """
[[package]]
name = "shapes"
kind = "wheel"
version = "1.0"
licence = "MIT"
sha256 = "{sha}"
"""
SHA = "0" * 64


def check(text: str, tmp_path: Path, message: str) -> None:
    path = tmp_path / "corpus.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_corpus(path)


def test_the_corpus_names_only_allowed_licences() -> None:
    assert {package.licence for package in read_corpus()} <= ALLOWED_LICENCES


def test_packages_are_held_out_for_validation_and_for_testing() -> None:
    roles = [package.role for package in read_corpus()]
    assert min(roles.count("validation"), roles.count("test")) >= 3
    assert roles.count("train") > 80


def test_everything_downloaded_has_a_hash() -> None:
    assert all(package.sha256 for package in read_corpus() if package.kind != "installed")


def test_another_licence_is_refused(tmp_path: Path) -> None:
    check(TABLE.format(sha=SHA).replace("MIT", "GPL-3.0"), tmp_path, "GPL-3.0 of shapes")


def test_a_missing_hash_is_refused(tmp_path: Path) -> None:
    check(TABLE.format(sha=""), tmp_path, "shapes has no sha256; fetch it with --pin")


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    check(TABLE.format(sha=SHA) * 2, tmp_path, "shapes stands twice")


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    check(TABLE.format(sha=SHA) + 'url = "x"\n', tmp_path, "not understood")


def package(sha256: str) -> Package:
    return Package(name="@ours/shapes", kind="npm", version="1.0", licence="MIT", sha256=sha256)


def test_an_archive_with_another_hash_is_refused(tmp_path: Path) -> None:
    (tmp_path / archive_name(package(SHA))).write_bytes(b"changed")
    with pytest.raises(TrainingError, match="delete it and fetch again"):
        fetch(package(SHA), tmp_path)


def test_an_archive_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    path = tmp_path / archive_name(package(SHA))
    path.write_bytes(b"the archive")
    assert fetch(package(sha256_of(path)), tmp_path) == path


def test_an_archive_is_named_by_what_it_is() -> None:
    assert archive_name(package(SHA)) == "npm-ours-shapes-1.0.tgz"


@pytest.mark.parametrize(
    ("file_name", "version"),
    [
        ("shapes-1.2.3-py3-none-any.whl", "1.2.3"),
        ("shapes-1.2.tar.gz", "1.2"),
        ("ours-shapes-4.0.0.tgz", "4.0.0"),
        ("shapes-doc_1%3a3.11.2-6+deb12u8_all.deb", "1:3.11.2-6+deb12u8"),
    ],
)
def test_the_version_is_read_off_the_archive(file_name: str, version: str) -> None:
    assert version_in(file_name) == version


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TrainingError, match="conda"):
        pin("conda", "shapes")  # type: ignore[arg-type]
