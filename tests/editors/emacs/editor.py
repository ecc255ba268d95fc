"""A real Emacs in a terminal that a test types into, and asks by Emacs's own server."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tests.editors import debian
from tests.editors.terminal import GHOST_COLOUR, Terminal
from tests.support.raw_client import PATIENCE_SECONDS, ROOT

PACKAGE: Final = ROOT / "editors" / "emacs"

# What tests read back, in the editor's own words.
HELPERS: Final = """
(setq inhibit-startup-screen t make-backup-files nil auto-save-default nil
      create-lockfiles nil enable-recursive-minibuffers t ring-bell-function #'ignore)
(prefer-coding-system 'utf-8)
(setq native-comp-jit-compilation nil native-comp-enable-subr-trampolines nil) ; no compiler here
(require 'server)

(defun test-text ()
  (buffer-substring-no-properties (point-min) (point-max)))

(defun test-line ()
  (buffer-substring-no-properties (line-beginning-position) (line-end-position)))

(defun test-ghost ()
  "What overlays draw, from the first to the last."
  (let ((overlays (seq-filter (lambda (one) (overlay-get one 'after-string))
                              (overlays-in (point-min) (1+ (point-max))))))
    (and overlays
         (string-replace
          " \\n" "\\n"
          (mapconcat (lambda (one) (substring-no-properties (overlay-get one 'after-string)))
                     (sort overlays (lambda (a b) (< (overlay-start a) (overlay-start b))))
                     "")))))

(defun test-record ()
  "Write down what is on the screen after each command."
  (setq test-painted nil)
  (add-hook 'post-command-hook
            (lambda () (push (vector (test-line) (or (test-ghost) "")) test-painted)) 90 t)
  t)
(defvar test-painted nil)

(defun test-said (text)
  (with-current-buffer (messages-buffer) (and (string-search text (buffer-string)) t)))

(defun test-forget ()
  (with-current-buffer (messages-buffer) (let ((inhibit-read-only t)) (erase-buffer))))

(defun test-answer (code)
  (base64-encode-string
   (encode-coding-string
    (json-encode (with-current-buffer (window-buffer (selected-window)) (eval code t)))
    'utf-8)
   t))
"""


class Program(NamedTuple):
    path: Path
    version: str
    arguments: Sequence[str | Path]
    env: dict[str, str]
    eglot: Sequence[str]
    """Folders that Eglot is in, where it does not come with this Emacs."""

    def batch(self, *arguments: str | Path, folder: Path = PACKAGE) -> str:
        """Run it without a terminal; return what it says."""
        done = subprocess.run(
            [self.path, *self.arguments, "-Q", "--batch", *arguments],
            check=False,
            cwd=folder,
            env={**os.environ, **self.env, "HOME": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def find(name: str) -> Program:
    """Return the program of a version; "system" is what the machine's own packages have.

    Raises UnavailableError, with the reason, where it cannot be had.
    """
    path, arguments, env = Path(shutil.which("emacs") or ""), list[str | Path](), {}
    eglot = [str(path) for path in Path("/usr/share/emacs/site-lisp/elpa").glob("*-*")]
    if name != "system":
        root = debian.fetch("trixie", "emacs-nox", "usr/bin/emacs-nox") / "usr"
        path, eglot = root / "bin" / "emacs-nox", []
        # It was built to find these under /usr.
        programs = next(root.glob("libexec/emacs/*/*"))
        share = next(root.glob("share/emacs/*/lisp")).parent
        env = {"EMACSLOADPATH": f"{share}/lisp", "EMACSDATA": f"{share}/etc"}
        env |= {"EMACSDOC": f"{share}/etc", "EMACSPATH": str(programs)}
        arguments = ["--dump-file", next(programs.glob("*.pdmp"))]
    elif path == Path():
        raise debian.UnavailableError("emacs is not installed")
    done = subprocess.run([path, "--version"], check=True, capture_output=True, text=True)
    return Program(path, re.search(r"[\d.]+\d", done.stdout)[0], arguments, env, eglot)


class Emacs:
    """`home` is where it keeps what it writes; `setup` is Lisp for the end of its configuration."""

    def __init__(self, program: Program, home: Path, setup: str) -> None:
        # A socket's address has at most 107 characters.
        self._sockets = tempfile.TemporaryDirectory(prefix="emacs-")
        self._socket = Path(self._sockets.name) / "test"
        (home / ".emacs.d").mkdir(exist_ok=True)
        init = home / "init.el"
        init.write_text(
            f'{HELPERS}\n(add-to-list \'load-path "{PACKAGE}")\n{setup}\n'
            f'(setq server-socket-dir "{self._sockets.name}" server-name "test")\n(server-start)\n'
        )
        env = {"HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_STATE_HOME": str(home)}
        env |= {"PYTHONPATH": str(ROOT), **program.env}
        self.terminal = Terminal(
            [program.path, *program.arguments, "-nw", "-Q", "-l", init], env, home
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._socket.exists():
            assert time.monotonic() < deadline, "Emacs does not start"
            assert self.terminal.process.poll() is None, "Emacs has ended"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.lisp("(progn (run-with-timer 0.05 nil (lambda () (kill-emacs))) nil)")
            self.terminal.process.wait(5)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            pass
        self.terminal.__exit__()
        self._sockets.cleanup()

    def lisp(self, code: str) -> Any:
        """Return what `code` returns in the selected window's buffer, as JSON has it."""
        # `prin1` of a string in base64 is that string in quotes.
        reply = self._ask(f"(test-answer (quote {code}))")
        assert reply.startswith('"'), f"{code}: {reply}"
        return json.loads(base64.b64decode(reply.strip('"')))

    def _ask(self, expression: str) -> str:
        """Evaluate as emacsclient does."""
        quoted = expression.replace("&", "&&").replace(" ", "&_").replace("\n", "&n")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(str(self._socket))
            connection.sendall(f"-eval {quoted}\n".encode())
            received = b""
            while piece := connection.recv(1 << 16):
                received += piece
        pieces = re.findall(r"-print(?:-nonl)? ([^\n]*)", received.decode())
        text = "".join(pieces) or received.decode()
        return text.replace("&_", " ").replace("&n", "\n").replace("&-", "-").replace("&&", "&")

    def keys(self, *keys: str) -> None:
        """Type, as a keyboard does: nobody waits for what comes of it."""
        for key in keys:
            self.terminal.type(KEYS.get(key, key.encode()))

    def eventually(self, code: str, fits: Callable[[Any], object] = bool) -> Any:
        """Return what `code` returns once it fits."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            result = self.lisp(code)
            if fits(result):
                return result
            assert time.monotonic() < deadline, f"{code} stays {result!r}; {self.state()}"
            time.sleep(0.01)

    def state(self) -> Any:
        return self.lisp(
            "(list (test-text) (point) (test-ghost)"
            " (and (fboundp 'inkling-lighter) (inkling-lighter))"
            " (with-current-buffer (messages-buffer) (buffer-string)))"
        )

    def edit(self, path: Path, text: str) -> None:
        """Open a file with this text, and leave the cursor at its end."""
        path.write_text(text, newline="")
        self.lisp(
            f'(progn (find-file "{path}") (delete-other-windows)'
            " (dolist (one (buffer-list)) (when (and (buffer-file-name one)"
            " (not (eq one (current-buffer)))) (with-current-buffer one"
            " (set-buffer-modified-p nil) (kill-buffer)))) (goto-char (point-max)) t)"
        )
        self.eventually("(inkling-document-identifier)")

    def ghost(self) -> str:
        """Wait for ghost text and return it."""
        return self.eventually("(test-ghost)")

    def text(self) -> str:
        return self.lisp("(test-text)")


PAINTED: Final = f'(set-face-attribute \'inkling-ghost nil :foreground "color-{GHOST_COLOUR}")'
"""For `setup`: have ghost text in the colour that the terminal looks for."""

KEYS: Final = {
    "<Tab>": b"\t",
    "<CR>": b"\r",
    "<M-Right>": b"\x1b[1;3C",
    "<M-C-Right>": b"\x1b[1;7C",
    "<Left>": b"\x1b[D",
    "<C-g>": b"\x07",
    "<M-n>": b"\x1bn",
    "<M-p>": b"\x1bp",
    "<C-e>": b"\x05",
    "<C-M-i>": b"\x1b\t",
    "<Undo>": b"\x1f",
    "<C-x>": b"\x18",
    "<C-c>": b"\x03",
    "<Request>": b"\x03\\",
    "<Actions>": b"\x03\x1c",
    "<Backspace>": b"\x7f",
}


def lisp_list(words: Sequence[str]) -> str:
    return "(list " + " ".join(json.dumps(word) for word in words) + ")"
