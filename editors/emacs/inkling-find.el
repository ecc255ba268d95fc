;;; inkling-find.el --- Find the program of Inkling  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; The program is looked for where people install it.  A project has no say in that.

;;; Code:

(defgroup inkling nil
  "Code completion that is local, private and fast."
  :group 'completion
  :prefix "inkling-")

(defcustom inkling-command nil
  "The program and the arguments that come first, or nil to look for it.
It is looked for in the active virtual environment, where uv and pipx
put programs, and in the variable `exec-path'."
  :type '(choice (const :tag "Look for it" nil)
                 (repeat :tag "Program and arguments" string))
  :risky t)

(defun inkling-find--places ()
  "Return the folders that installers put programs into, the first one first."
  (let ((environment (getenv "VIRTUAL_ENV")))
    (delq nil
          (list (and environment
                     (expand-file-name (if (eq system-type 'windows-nt) "Scripts" "bin")
                                       environment))
                (or (getenv "UV_TOOL_BIN_DIR") (getenv "XDG_BIN_HOME"))
                (getenv "PIPX_BIN_DIR")
                (expand-file-name "~/.local/bin")))))

(defun inkling-find-command ()
  "Return the program and the arguments that come first, nil for none."
  (if inkling-command
      (and (executable-find (car inkling-command)) inkling-command)
    (let ((program (locate-file "inkling"
                                (append (inkling-find--places)
                                        (seq-filter #'file-name-absolute-p exec-path))
                                exec-suffixes #'file-executable-p)))
      (and program (list program)))))

(defun inkling-find-install-command ()
  "Return the one command that installs the program here."
  (cond ((executable-find "uv") "uv tool install inkling-lsp")
        ((executable-find "pipx") "pipx install inkling-lsp")
        (t "python3 -m pip install --user inkling-lsp")))

(defun inkling-find-advice ()
  "Return a sentence for whoever has no program."
  (if inkling-command
      (format "%s cannot be run; the option `inkling-command' names it" (car inkling-command))
    (format "the program inkling is not installed; `%s' installs it, then M-x inkling-restart"
            (inkling-find-install-command))))

(provide 'inkling-find)
;;; inkling-find.el ends here
