;;; eglot-inkling.el --- Inkling in Emacs as Eglot's server  -*- lexical-binding: t; -*-

;;; Commentary:

;; For a language that has no other server: suggestions come in `completion-at-point', code actions
;; with M-x eglot-code-actions.  `inkling-mode' has ghost text, and runs beside another server.

;;; Code:

(require 'eglot)

(add-to-list 'eglot-server-programs '(python-mode . ("inkling" "lsp")))
(add-hook 'python-mode-hook #'eglot-ensure)

;; What you choose from a menu needs no second question.
(setq eglot-confirm-server-initiated-edits nil)

(provide 'eglot-inkling)
;;; eglot-inkling.el ends here
