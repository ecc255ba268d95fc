;;; lsp-mode-inkling.el --- Inkling in Emacs by lsp-mode  -*- lexical-binding: t; -*-

;;; Commentary:

;; lsp-mode 10 or newer draws ghost text by `lsp-inline-completion-mode', beside other servers.

;;; Code:

(require 'lsp-mode)
(require 'lsp-inline-completion)

(lsp-register-client
 (make-lsp-client :new-connection (lsp-stdio-connection '("inkling" "lsp"))
                  :activation-fn (lambda (_file _mode) (derived-mode-p 'prog-mode 'text-mode))
                  :add-on? t
                  :server-id 'inkling))

;; It waits for two seconds otherwise.
(setq lsp-inline-completion-idle-delay 0.1)
(add-hook 'lsp-managed-mode-hook #'lsp-inline-completion-mode)

(provide 'lsp-mode-inkling)
;;; lsp-mode-inkling.el ends here
