;;; inkling-commands.el --- What can be asked of Inkling by name  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; The commands of the client, those of the server, and the other verbs of the program.

;;; Code:

(require 'comint)
(require 'flymake)
(require 'json)
(require 'inkling-document)
(require 'inkling-find)
(require 'inkling-ghost)
(require 'inkling-server)

(defcustom inkling-offer-models t
  "Whether to offer a better model where only the small one answers."
  :type 'boolean
  :group 'inkling)

(defvar inkling--declined-file (locate-user-emacs-file "inkling-models-declined")
  "The file that says that models are not offered again.")

(defvar inkling--has-offered nil)

;;; Ghost text

(defun inkling-accept ()
  "Insert all that is shown."
  (interactive)
  (inkling-ghost-accept 'all))

(defun inkling-accept-word ()
  "Insert the next word of what is shown."
  (interactive)
  (inkling-ghost-accept 'word))

(defun inkling-accept-line ()
  "Insert the next line of what is shown."
  (interactive)
  (inkling-ghost-accept 'line))

(defun inkling-dismiss ()
  "Take back what is shown."
  (interactive)
  (inkling-ghost-forget))

(defun inkling-request ()
  "Ask for a suggestion at point now."
  (interactive)
  (inkling-ghost-request))

(defun inkling-next ()
  "Show the next suggestion."
  (interactive)
  (inkling-ghost-select 1))

(defun inkling-previous ()
  "Show the suggestion before."
  (interactive)
  (inkling-ghost-select -1))

;;; Status

(defun inkling--known (key)
  "Return what is known of KEY."
  (plist-get inkling-server-status key))

(defun inkling-is-paused ()
  "Whether suggestions are switched off altogether."
  (and (plist-member inkling-server-status :enable) (not (inkling--known :enable))))

(defun inkling--is-off ()
  "Whether the language of this buffer is switched off."
  (eq (plist-get (inkling--known :languages)
                 (intern (concat ":" (inkling-document-language))))
      :json-false))

(defun inkling--is-true (key)
  "Whether the server says that KEY is so."
  (eq (inkling--known key) t))

(defun inkling-lighter ()
  "Return what stands in the mode line."
  (pcase (inkling--known :state)
    ('nil " Inkling")
    ("missing" " Inkling:not installed")
    ((and state (guard (not (equal state "ready")))) (concat " Inkling:" state))
    ((guard (inkling-is-paused)) " Inkling:paused")
    ((guard (inkling--is-off)) " Inkling:off")
    ((guard (inkling--is-true :small_model_only)) " Inkling:small model")
    (_ " Inkling")))

(defun inkling-status ()
  "Say what the server is doing, and what to do about it."
  (interactive)
  ;; An answer of the server may come in another buffer than the one somebody looks at.
  (with-current-buffer (window-buffer (selected-window))
    (let ((level (inkling--known :level)))
      (inkling-server-say
       "%s" (string-join
             (seq-remove #'string-empty-p
                         (list (string-remove-prefix ":" (string-remove-prefix
                                                          " Inkling" (inkling-lighter)))
                               (or (inkling--known :message) "")
                               (if level (concat "level " level) "")))
             "; ")))))

(defun inkling--switch (name &rest arguments)
  "Run the server's command NAME, which sets something, with ARGUMENTS."
  (inkling-server-execute name arguments (lambda (_) (inkling-status))))

(defun inkling-pause ()
  "Show nothing until \\[inkling-resume]."
  (interactive)
  (inkling-ghost-forget)
  (inkling--switch "inkling.pause"))

(defun inkling-resume ()
  "Show suggestions again."
  (interactive)
  (inkling--switch "inkling.resume"))

(defun inkling-toggle-language ()
  "Switch the language of this buffer off or on."
  (interactive)
  (inkling--switch "inkling.toggleLanguage" (inkling-document-language)))

(defun inkling-set-level (level)
  "Set how sure a suggestion must be to be shown.
LEVEL is quiet, balanced or eager."
  (interactive (list (completing-read "Level: " '("quiet" "balanced" "eager") nil t)))
  (inkling--switch "inkling.setLevel" level))

(defun inkling-explain-last ()
  "Say why the last request was answered as it was."
  (interactive)
  (inkling-server-execute
   "inkling.explainLast" nil
   (lambda (last)
     (inkling-server-say "%s" (or (plist-get last :sentence) "nothing was asked yet")))))

(defun inkling-server-command (name)
  "Run the command NAME of the server and show what it returns."
  (interactive (list (completing-read "Command of the server: " (inkling-server-commands) nil t)))
  (inkling-server-execute name nil (lambda (result) (inkling-server-say "%S" result))))

(defun inkling-restart ()
  "End the server and start another."
  (interactive)
  (inkling-server-restart))

(defun inkling-log ()
  "Show what the server logs."
  (interactive)
  (find-file-other-window inkling-log-file)
  (auto-revert-tail-mode))

(defun inkling-customize ()
  "Change the options."
  (interactive)
  (customize-group 'inkling))

;;; Code actions

(defun inkling--diagnostic (diagnostic)
  "Return Flymake's DIAGNOSTIC as the server reads it."
  (list :range (list :start (inkling-document-position (flymake-diagnostic-beg diagnostic))
                     :end (inkling-document-position (flymake-diagnostic-end diagnostic)))
        :message (flymake-diagnostic-text diagnostic)))

(defun inkling--actions (start end)
  "Return what the server offers to do with the code from START to END."
  (inkling-document-flush)
  (jsonrpc-request
   inkling-server--connection :textDocument/codeAction
   (list :textDocument (inkling-document-identifier)
         :range (list :start (inkling-document-position start)
                      :end (inkling-document-position end))
         :context (list :diagnostics
                        (vconcat (mapcar #'inkling--diagnostic
                                         (and (bound-and-true-p flymake-mode)
                                              (flymake-diagnostics (line-beginning-position)
                                                                   (line-end-position)))))))))

(defun inkling-code-actions (start end)
  "Do something that the server offers with the code from START to END."
  (interactive (if (use-region-p)
                   (list (region-beginning) (region-end))
                 (list (point) (point))))
  (unless (and (inkling-document-identifier) (inkling-server-is-ready))
    (user-error "The server does not know this buffer; M-x inkling-status says why"))
  (let* ((actions (append (inkling--actions start end) nil))
         (titles (mapcar (lambda (action) (plist-get action :title)) actions)))
    (unless actions
      (user-error "There is nothing to do with the code here"))
    (let* ((title (completing-read (format "Do (%s): " (car titles)) titles nil t nil nil
                                   (car titles)))
           (action (nth (seq-position titles title) actions))
           (command (plist-get action :command)))
      (inkling-server-say "%s..." title)
      (inkling-server-execute (plist-get command :command) (plist-get command :arguments)))))

;;; The program's other verbs

(defun inkling-run (&rest arguments)
  "Run `inkling' with ARGUMENTS in a window, where it can ask and show progress."
  (let ((program (inkling-find-command))
        (name (string-join (cons "inkling" arguments) " "))
        ;; A program that is a module of Python's would find the project's modules first.
        (default-directory (expand-file-name "~/")))
    (if (not program)
        (inkling-server-say "%s" (inkling-find-advice))
      (when-let ((old (get-buffer (format "*%s*" name))))
        (kill-buffer old))
      (pop-to-buffer (apply #'make-comint-in-buffer name nil (car program) nil
                            (append (cdr program) arguments))))))

(defun inkling-doctor ()
  "Check whether everything works here."
  (interactive)
  (inkling-run "doctor"))

(defun inkling-stats ()
  "Show what was suggested and accepted."
  (interactive)
  (inkling-run "stats"))

(defun inkling--models (then)
  "Call THEN with a list of the models that there are, as alists."
  (let ((program (inkling-find-command)) (buffer (generate-new-buffer " *inkling models*"))
        (default-directory (expand-file-name "~/")))
    (process-send-eof ; nobody answers it
     (make-process
      :name "inkling models" :buffer buffer :noquery t :connection-type 'pipe
      :command (append program '("model" "list" "--json"))
      :sentinel (lambda (process _)
                  (unless (process-live-p process)
                    (funcall then (inkling-models-in buffer))
                    (kill-buffer buffer)))))))

(defun inkling-models-in (buffer)
  "Return the models that the JSON in BUFFER lists."
  (with-current-buffer buffer
    (goto-char (point-min))
    (let ((rows (ignore-errors (json-parse-buffer :object-type 'alist :array-type 'list))))
      (and (listp rows) (seq-filter #'consp rows)))))

(defun inkling-addable (models)
  "Return the first of MODELS that can be added, nil for none."
  (seq-find (lambda (model)
              (string-search "can be added" (format "%s" (alist-get 'state model))))
            models))

(defun inkling-add-model (&optional name)
  "Fetch a better model: NAME, by default the first that can be added."
  (interactive)
  (if name
      (inkling-run "model" "add" name)
    (inkling--models
     (lambda (models)
       (let ((model (inkling-addable models)))
         (if model
             (inkling-run "model" "add" (alist-get 'name model))
           (inkling-server-say "there is no model to add; `inkling model list' says why")))))))

(defun inkling-use-model ()
  "Choose one of the models that are installed."
  (interactive)
  (inkling--models
   (lambda (models)
     ;; Not in a sentinel, where nobody can be asked.
     (run-with-timer
      0 nil
      (lambda ()
        (let ((names (cl-loop for model in models
                              unless (inkling-addable (list model))
                              collect (alist-get 'name model))))
          (inkling-run "model" "use" (completing-read "Model: " names nil t))))))))

(defun inkling-decline-models ()
  "Never offer a better model again."
  (interactive)
  (make-directory (file-name-directory inkling--declined-file) t)
  (write-region "" nil inkling--declined-file nil 'silent)
  (inkling-server-say "models are not offered again; M-x inkling-add-model is there all the same"))

(defun inkling-offer-models ()
  "Offer a better model, once a session and until that is declined."
  (when (and inkling-offer-models
             (inkling--is-true :small_model_only)
             (not inkling--has-offered)
             (not (file-exists-p inkling--declined-file)))
    (setq inkling--has-offered t)
    (inkling--models
     (lambda (models)
       (let ((model (inkling-addable models)))
         (inkling-server-say
          "only the small model that ships answers.  M-x inkling-add-model fetches a better one%s; \
M-x inkling-decline-models ends this notice"
          (if model
              (format " (%s takes %s of memory)" (alist-get 'name model)
                      (alist-get 'memory model))
            "")))))))

(provide 'inkling-commands)
;;; inkling-commands.el ends here
