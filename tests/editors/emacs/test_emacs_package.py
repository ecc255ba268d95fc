"""The Emacs client as a package: it compiles without a warning, and its own tests pass."""

import re
import shutil
from pathlib import Path

import pytest

from tests.editors import debian
from tests.editors.emacs.editor import PACKAGE, Program, find

pytestmark = [pytest.mark.editor, pytest.mark.slow]

SOURCES = sorted(path.name for path in PACKAGE.glob("*.el"))

NO_HOME_PAGE = "Package should have a Homepage or URL header."
"""The project has no address yet that a header could name."""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(PACKAGE, tmp_path / "package", ignore=shutil.ignore_patterns("*.elc"))


def test_it_compiles_without_a_warning(emacs_program: Program, copied: Path) -> None:
    strictly = "(setq byte-compile-error-on-warn t)"
    emacs_program.batch(
        *("-L", ".", "--eval", strictly, "-f", "batch-byte-compile"), *SOURCES, folder=copied
    )
    assert len(list(copied.glob("*.elc"))) == len(SOURCES)


@pytest.mark.parametrize("source", SOURCES)
def test_its_documentation_has_the_form_of_emacs_own(
    emacs_program: Program, copied: Path, source: str
) -> None:
    # That check takes the verb of any subordinate clause for one that should be imperative.
    without = "(progn (require 'checkdoc) (setq checkdoc-verb-check-experimental-flag nil))"
    check = f'(checkdoc-file "{source}")'
    said = emacs_program.batch("-L", ".", "--eval", without, "--eval", check, folder=copied)
    assert said == ""


def test_it_can_be_a_package(copied: Path) -> None:
    try:
        program, root = find("system"), debian.fetch("trixie", "elpa-package-lint")
    except debian.UnavailableError as error:
        pytest.skip(f"package-lint: {error}")
    folders = (root / "usr/share/emacs/site-lisp/elpa-src").iterdir()
    paths = [word for folder in folders for word in ("-L", folder)]
    lint = (
        '(let ((package-lint-main-file "inkling.el"))'
        " (dolist (source command-line-args-left)"
        " (with-temp-buffer (insert-file-contents source t) (emacs-lisp-mode)"
        ' (dolist (one (package-lint-buffer)) (message "%S" one))))'
        " (setq command-line-args-left nil))"
    )
    said = program.batch(
        *paths, "-L", ".", "-l", "package-lint", "--eval", lint, *SOURCES, folder=copied
    )
    assert [line for line in said.splitlines() if NO_HOME_PAGE not in line] == []
    assert NO_HOME_PAGE in said  # it has looked


def test_its_own_tests_pass(emacs_program: Program) -> None:
    tests = Path(__file__).with_name("inkling-tests.el")
    said = emacs_program.batch("-L", ".", "-l", tests, "-f", "ert-run-tests-batch-and-exit")
    (count,) = re.findall(r"Ran (\d+) tests, \1 results as expected", said)
    assert int(count) == tests.read_text().count("(ert-deftest")
