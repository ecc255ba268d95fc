;;; inkling-document.el --- What Inkling's server knows of a buffer  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Positions are counted in characters, as Emacs does: UTF-32 is all that the server is offered.

;;; Code:

(require 'cl-lib)
(require 'url-util)
(require 'inkling-server)

(defvar-local inkling-document--uri nil "What the server knows this buffer as, nil for not.")
(defvar-local inkling-document--version 0)
(defvar-local inkling-document--changes nil
  "Changes that the server was not told of, the newest first, or `all'.")
(defvar-local inkling-document--changing nil "What is about to change: its bounds and places.")

(defvar inkling-document--folders nil "The folders that the server was told of.")

(defun inkling-document-position (&optional position)
  "Return POSITION, by default point, as the server counts it."
  (let ((position (or position (point))))
    (save-excursion
      (save-restriction
        (widen)
        (goto-char position)
        (let ((inhibit-field-text-motion t))
          (list :line (1- (line-number-at-pos position t))
                :character (- position (line-beginning-position))))))))

(defun inkling-document-point (position)
  "Return where POSITION, as the server counts it, is in the buffer."
  (save-excursion
    (save-restriction
      (widen)
      (goto-char (point-min))
      (forward-line (plist-get position :line))
      (min (line-end-position) (+ (point) (plist-get position :character))))))

(defun inkling-document-identifier ()
  "Return what names this buffer to the server, nil where it does not know it."
  (and inkling-document--uri (list :uri inkling-document--uri)))

(defun inkling-document--uri-of (file)
  "Return the address of FILE."
  (concat (if (eq system-type 'windows-nt) "file:///" "file://")
          (url-hexify-string (file-truename file) url-path-allowed-chars)))

(defun inkling-document--text ()
  "Return the text of the whole buffer."
  (save-restriction
    (widen)
    (buffer-substring-no-properties (point-min) (point-max))))

(defun inkling-document-open ()
  "Let the server know this buffer."
  (when (and (inkling-server-is-ready) (not inkling-document--uri) buffer-file-name)
    (inkling-document--add-folder)
    (setq inkling-document--uri (inkling-document--uri-of buffer-file-name)
          inkling-document--version 0
          inkling-document--changes nil)
    (inkling-server-notify
     :textDocument/didOpen
     (list :textDocument (list :uri inkling-document--uri :version 0
                               :languageId (inkling-document-language)
                               :text (inkling-document--text))))))

(defun inkling-document-close ()
  "Have the server forget this buffer."
  (when inkling-document--uri
    (inkling-document-flush)
    (inkling-server-notify :textDocument/didClose
                           (list :textDocument (inkling-document-identifier)))
    (setq inkling-document--uri nil)))

(defun inkling-document--add-folder ()
  "Tell the server of this buffer's folder, so that its ignore files count."
  (let ((root (locate-dominating-file buffer-file-name ".git")))
    (when (and root (not (member root inkling-document--folders)))
      (push root inkling-document--folders)
      (let ((folder (list :uri (inkling-document--uri-of (directory-file-name root))
                          :name (file-name-nondirectory (directory-file-name root)))))
        (inkling-server-notify :workspace/didChangeWorkspaceFolders
                               (list :event (list :added (vector folder) :removed [])))))))

(defun inkling-document-before-change (start end)
  "Note where START and END are before the text between them changes."
  (when (and inkling-document--uri (not (eq inkling-document--changes 'all)))
    (setq inkling-document--changing (list start end (inkling-document-position start)
                                         (inkling-document-position end)))))

(defun inkling-document-after-change (start end length)
  "Take note that LENGTH characters at START became those until END."
  (when inkling-document--uri
    (pcase inkling-document--changing
      ((guard (eq inkling-document--changes 'all)))
      (`(,(pred (= start)) ,(pred (= (+ start length))) ,first ,last)
       (push (list :range (list :start first :end last)
                   :text (save-restriction
                           (widen)
                           (buffer-substring-no-properties start end)))
             inkling-document--changes))
      ;; Some functions announce more than they change.
      (_ (setq inkling-document--changes 'all)))
    (setq inkling-document--changing nil)))

(defun inkling-document-flush ()
  "Tell the server what has changed in this buffer."
  (when (and inkling-document--uri inkling-document--changes)
    (let ((changes (if (eq inkling-document--changes 'all)
                       (list (list :text (inkling-document--text)))
                     (nreverse inkling-document--changes))))
      (setq inkling-document--changes nil)
      (inkling-server-notify
       :textDocument/didChange
       (list :textDocument (list :uri inkling-document--uri
                                 :version (cl-incf inkling-document--version))
             :contentChanges (vconcat changes))))))

;;; Languages

(defconst inkling-document--languages
  '(("c++" . "cpp") ("cperl" . "perl") ("js" . "javascript")
    ("js2" . "javascript") ("js-jsx" . "javascriptreact")
    ("bash" . "shellscript") ("sh" . "shellscript") ("mhtml" . "html")
    ("nxml" . "xml") ("objc" . "objective-c") ("rst" . "restructuredtext") ("tex" . "latex")
    ("text" . "plaintext") ("fundamental" . "plaintext") ("tsx" . "typescriptreact")
    ("gfm" . "markdown") ("rjsx" . "javascriptreact"))
  "The languages whose name in LSP is not the one of the major mode.")

(defun inkling-document-language ()
  "Return LSP's name for the language of this buffer."
  (let ((name (downcase (replace-regexp-in-string
                         "\\(-ts\\)?-mode\\'" "" (symbol-name major-mode)))))
    (cond ((assoc-default name inkling-document--languages))
          ((string-prefix-p "makefile" name) "makefile")
          (t name))))

;;; Edits of the server

(defun inkling-document--apply (params)
  "Change buffers as the server asks in PARAMS; return what came of it."
  (cl-loop for (uri edits) on (plist-get (plist-get params :edit) :changes) by #'cddr
           for buffer = (inkling-document--buffer (substring (symbol-name uri) 1))
           unless buffer
           return '(:applied :json-false :failureReason "there is no such buffer")
           do (with-current-buffer buffer
                (atomic-change-group
                  (undo-boundary)
                  ;; From the last to the first, so that the places of the others stay true.
                  (dolist (one (sort (append edits nil) #'inkling-document--is-behind))
                    (inkling-document--replace one))))
           finally return '(:applied t)))

(defun inkling-document--buffer (uri)
  "Return the buffer that the server knows as URI."
  (seq-find (lambda (buffer) (equal (buffer-local-value 'inkling-document--uri buffer) uri))
            (buffer-list)))

(defun inkling-document--is-behind (one other)
  "Whether the text edit ONE begins behind OTHER."
  (> (inkling-document-point (plist-get (plist-get one :range) :start))
     (inkling-document-point (plist-get (plist-get other :range) :start))))

(defun inkling-document--replace (edit)
  "Apply one text EDIT."
  (let* ((range (plist-get edit :range))
         (start (inkling-document-point (plist-get range :start)))
         (end (inkling-document-point (plist-get range :end))))
    (save-excursion
      (save-restriction
        (widen)
        (goto-char start)
        (delete-region start end)
        (insert (string-replace "\r\n" "\n" (plist-get edit :newText)))))))

(defun inkling-document--forget-all ()
  "No buffer is known any more: the server has ended."
  (setq inkling-document--folders nil)
  (dolist (buffer (buffer-list))
    (with-current-buffer buffer
      (setq inkling-document--uri nil))))

(add-hook 'inkling-server-ended-functions #'inkling-document--forget-all)
(add-hook 'inkling-server-before-request-functions #'inkling-document-flush)
(add-to-list 'inkling-server-request-handlers '(workspace/applyEdit . inkling-document--apply))

(provide 'inkling-document)
;;; inkling-document.el ends here
