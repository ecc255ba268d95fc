;;; inkling.el --- Code completion that is local, private and fast  -*- lexical-binding: t; -*-

;; Author: The Inkling authors
;; Version: 0.1.0
;; Package-Requires: ((emacs "29.1"))
;; Keywords: convenience, languages, tools
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Inkling shows what you may be about to write as ghost text.  A model on this machine writes it;
;; nothing leaves the machine.  The program `inkling' is needed.
;;
;;     (require 'inkling)
;;     (inkling-global-mode)
;;
;; While something is shown, these keys are for it (`inkling-ghost-map'):
;;
;;     TAB          accept what is shown
;;     M-<right>    accept a word of it
;;     C-M-<right>  accept a line of it
;;     C-g          dismiss it
;;     M-n, M-p     show the next one, the one before
;;
;; and at any time (`inkling-mode-map'):
;;
;;     C-c \        ask for one now
;;     C-c C-\      do something with the code at point: write a body, document, repair, explain
;;
;; While a menu of completions is open nothing is shown, so the menu keeps its keys.  It runs beside
;; Eglot, lsp-mode or none.  M-x inkling-status says what it is doing and what to do about it,
;; M-x inkling-explain-last why there was nothing.

;;; Code:

(require 'easymenu)
(require 'inkling-commands)
(require 'inkling-document)
(require 'inkling-ghost)
(require 'inkling-server)

(defvar inkling-ghost-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "TAB") #'inkling-accept)
    (define-key map [tab] #'inkling-accept)
    (define-key map (kbd "M-<right>") #'inkling-accept-word)
    (define-key map (kbd "C-M-<right>") #'inkling-accept-line)
    (define-key map (kbd "C-g") #'inkling-dismiss)
    (define-key map (kbd "M-n") #'inkling-next)
    (define-key map (kbd "M-p") #'inkling-previous)
    map)
  "The keys that are for ghost text, while there is some.")

(defvar inkling-mode-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "C-c \\") #'inkling-request)
    (define-key map (kbd "C-c C-\\") #'inkling-code-actions)
    map)
  "The keys of `inkling-mode'.")

(easy-menu-define inkling-menu inkling-mode-map "Menu of Inkling."
  '("Inkling"
    ["Suggest" inkling-request]
    ["Code actions..." inkling-code-actions]
    ["Why was there nothing?" inkling-explain-last]
    "---"
    ["Pause" inkling-pause :visible (not (inkling-is-paused))]
    ["Resume" inkling-resume :visible (inkling-is-paused)]
    ["This language off or on" inkling-toggle-language]
    ["Level..." inkling-set-level]
    "---"
    ["Add a model" inkling-add-model]
    ["Use a model..." inkling-use-model]
    "---"
    ["Status" inkling-status]
    ["Statistics" inkling-stats]
    ["Doctor" inkling-doctor]
    ["Log" inkling-log]
    ["Restart" inkling-restart]
    ["Customize" inkling-customize]))

;; Menus of completions have their keys in the same place, and close before something is shown.
(defvar inkling--emulation-alist (list (cons 'inkling-ghost--is-visible inkling-ghost-map)))
(add-to-list 'emulation-mode-map-alists 'inkling--emulation-alist)

(defun inkling--set-up ()
  "Follow what happens in this buffer."
  (add-hook 'before-change-functions #'inkling-document-before-change nil t)
  (add-hook 'after-change-functions #'inkling-document-after-change nil t)
  (add-hook 'post-command-hook #'inkling-ghost-after-command nil t)
  (add-hook 'after-set-visited-file-name-hook #'inkling--reopen nil t)
  (add-hook 'kill-buffer-hook #'inkling--tear-down nil t)
  (add-hook 'change-major-mode-hook #'inkling--tear-down nil t)
  (setq inkling-ghost--tick (buffer-chars-modified-tick))
  (inkling-server-start)
  (inkling-document-open))

(defun inkling--tear-down ()
  "Follow this buffer no more."
  (inkling-ghost-forget)
  (inkling-document-close)
  (remove-hook 'before-change-functions #'inkling-document-before-change t)
  (remove-hook 'after-change-functions #'inkling-document-after-change t)
  (remove-hook 'post-command-hook #'inkling-ghost-after-command t)
  (remove-hook 'after-set-visited-file-name-hook #'inkling--reopen t)
  (remove-hook 'kill-buffer-hook #'inkling--tear-down t)
  (remove-hook 'change-major-mode-hook #'inkling--tear-down t))

(defun inkling--reopen ()
  "This buffer is of another file now."
  (inkling-document-close)
  (inkling-document-open))

;;;###autoload
(define-minor-mode inkling-mode
  "Show what you may be about to write as ghost text."
  :lighter (:eval (inkling-lighter))
  :keymap inkling-mode-map
  (if inkling-mode (inkling--set-up) (inkling--tear-down)))

(defun inkling--turn-on ()
  "Switch `inkling-mode' on where this buffer is of a file on this machine."
  (when (and buffer-file-name (not (file-remote-p buffer-file-name)))
    (inkling-mode)))

;;;###autoload
(define-globalized-minor-mode inkling-global-mode inkling-mode inkling--turn-on
  :group 'inkling
  :predicate '(prog-mode text-mode conf-mode))

(defun inkling--open-all ()
  "A server answers: let it know all buffers."
  (dolist (buffer (buffer-list))
    (with-current-buffer buffer
      (when inkling-mode
        (inkling-document-open)))))

(defun inkling--follow-status ()
  "Ask where somebody types once the server is ready; offer a better model."
  (when (equal (plist-get inkling-server-status :state) "ready")
    (with-current-buffer (window-buffer (selected-window))
      (inkling-ghost-refresh))
    (inkling-offer-models)))

(add-hook 'inkling-server-ready-functions #'inkling--open-all)
(add-hook 'inkling-server-status-functions #'inkling--follow-status)

(provide 'inkling)
;;; inkling.el ends here
