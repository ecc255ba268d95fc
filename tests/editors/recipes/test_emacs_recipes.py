"""The recipes for Eglot alone and for lsp-mode, in real Emacsen."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.editors import debian
from tests.editors.emacs.editor import Emacs, Program, find
from tests.editors.features import Identity
from tests.editors.recipes.conftest import RECIPES
from tests.editors.recipes.test_helix import ADD, POINT

PATIENCE = 10

pytestmark = [pytest.mark.editor, pytest.mark.slow]


@pytest.fixture(scope="module", params=["system", "30"])
def emacs_program(request: pytest.FixtureRequest) -> Program:
    try:
        return find(request.param)
    except debian.UnavailableError as error:
        pytest.skip(f"Emacs, {request.param}: {error}")


@pytest.fixture
def identity(request: pytest.FixtureRequest, emacs_program: Program) -> Identity:
    client = "lsp-mode" if "lsp_mode" in request.node.name else "Eglot"
    return Identity(f"Emacs with {client}", emacs_program.version)


def again(emacs: Emacs, key: str, code: str, fits: Callable[[Any], object] = bool) -> None:
    """Type `key` until `code` returns what fits: there is nothing until the model is loaded."""
    for _ in range(PATIENCE):
        emacs.keys(key)
        emacs.terminal.wait_until_still(1)
        if fits(emacs.lisp(code)):
            return
    raise AssertionError(emacs.state())


def start(
    program: Program, environment: dict[str, str], recipe: str, folders: list[str], text: str
) -> Emacs:
    """Start Emacs with this recipe alone, and packages from `folders`."""
    home = Path(environment["HOME"])
    paths = "".join(f'(add-to-list \'load-path "{folder}")\n' for folder in folders)
    setup = (
        f'{paths}(setenv "PATH" "{environment["PATH"]}")\n(push "{home}/bin" exec-path)\n'
        f'(setq completion-styles \'(basic))\n(load "{RECIPES / recipe}")'
    )
    (home / "typed.py").write_text(text)
    return Emacs(program, home, setup)


@pytest.mark.shows("completion")
def test_eglot_with_completion(emacs_program: Program, environment: dict[str, str]) -> None:
    folders = list(emacs_program.eglot)
    with start(emacs_program, environment, "eglot-inkling.el", folders, POINT) as emacs:
        emacs.lisp('(progn (find-file "~/typed.py") (goto-char (point-max)) t)')
        emacs.keys("<Left>")  # Eglot starts behind a command
        emacs.eventually("(and (fboundp 'eglot-managed-p) (eglot-managed-p) t)")
        emacs.lisp("(goto-char (point-max))")
        emacs.keys("        for item in ra")
        again(emacs, "<C-M-i>", "(test-text)", lambda text: re.search(r"for item in ra\w", text))


@pytest.mark.shows("code action")
def test_eglot_with_code_actions(emacs_program: Program, environment: dict[str, str]) -> None:
    folders = list(emacs_program.eglot)
    with start(emacs_program, environment, "eglot-inkling.el", folders, ADD) as emacs:
        emacs.lisp('(progn (find-file "~/typed.py") (goto-char 6) t)')
        emacs.keys("<Left>")  # Eglot starts behind a command
        emacs.eventually("(and (fboundp 'eglot-managed-p) (eglot-managed-p) t)")
        emacs.lisp('(progn (global-set-key (kbd "C-c C-\\\\") (quote eglot-code-actions)) t)')
        again(emacs, "<Actions>", "(and (active-minibuffer-window) t)")
        emacs.keys("Add type", "<Tab>", "<CR>")
        typed = '(with-current-buffer "typed.py" (test-text))'
        emacs.eventually(typed, lambda text: re.match(r"def add\(first: .*\).*:\n", text))


@pytest.mark.shows("ghost text")
@pytest.mark.shows("accept all")
def test_lsp_mode_with_ghost_text(emacs_program: Program, environment: dict[str, str]) -> None:
    try:
        root = debian.fetch("sid", "elpa-lsp-mode")
    except debian.UnavailableError as error:
        pytest.skip(f"lsp-mode: {error}")
    sources = sorted((root / "usr/share/emacs/site-lisp/elpa-src").iterdir())
    folders = [str(folder) for folder in sources]
    (Path(environment["HOME"]) / ".git").mkdir()  # lsp-mode wants to know a project
    with start(emacs_program, environment, "lsp-mode-inkling.el", folders, POINT) as emacs:
        # What a package manager's autoloads name.
        parts = "lsp-completion lsp-diagnostics lsp-headerline lsp-lens lsp-modeline"
        emacs.lisp(f"(progn (mapc (function require) '({parts})) (setq lsp-auto-guess-root t))")
        emacs.lisp('(progn (find-file "~/typed.py") (lsp) t)')
        emacs.eventually("(and (bound-and-true-p lsp-inline-completion-mode) t)")
        emacs.lisp("(goto-char (point-max))")
        emacs.keys("        for item in ")
        for key in "range":  # until the model is loaded there is nothing
            emacs.keys(key)
            emacs.terminal.wait_until_still(1)
            if emacs.lisp("(and lsp-inline-completion--overlay t)"):
                break
        typed = emacs.text()
        emacs.lisp("(progn (lsp-inline-completion-accept) t)")
        emacs.eventually("(test-text)", lambda text: text.startswith(typed) and text != typed)
