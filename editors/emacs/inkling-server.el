;;; inkling-server.el --- Keep one server of Inkling running  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; One process serves all buffers of this Emacs, since it holds one model.  It has a connection of
;; its own beside Eglot's, because Eglot has one server for a buffer and that place is taken by the
;; server of the language.

;;; Code:

(require 'cl-lib)
(require 'eieio)
(require 'jsonrpc)
(require 'subr-x)
(require 'inkling-find)

(defcustom inkling-arguments nil
  "More arguments of `inkling lsp', such as \"--device\" \"cuda\"."
  :type '(repeat string)
  :group 'inkling
  :risky t)

(defcustom inkling-settings nil
  "Settings of the server, such as (:level \"quiet\")."
  :type '(plist :key-type symbol)
  :group 'inkling)

(defcustom inkling-log-file (locate-user-emacs-file "inkling.log")
  "The file that the server logs to."
  :type 'file
  :group 'inkling
  :risky t)

(defconst inkling-server--most-deaths 5)
(defconst inkling-server--within-seconds 180)
(defconst inkling-server--leaving-seconds 1
  "What a server gets to leave before it is ended.")

(defvar inkling-server-status nil
  "What is known, a plist: :state, :message, :enable, :languages and more.")

(defvar inkling-server-status-functions nil
  "Functions without arguments for when `inkling-server-status' has changed.")

(defvar inkling-server-ready-functions nil
  "Functions without arguments for when a server has begun to answer.")

(defvar inkling-server-ended-functions nil
  "Functions without arguments for when the server has ended.")

(defvar inkling-server-before-request-functions nil
  "Functions without arguments for before the server is asked something.")

(defvar inkling-server-request-handlers nil
  "What the server may ask: an alist of methods and functions of the parameters.")

(defvar inkling-server--connection nil)
(defvar inkling-server--commands nil "The names of the server's commands.")
(defvar inkling-server--is-ready nil "Whether the server has answered `initialize'.")
(defvar inkling-server--is-restarting nil)
(defvar inkling-server--has-advised nil)
(defvar inkling-server--deaths nil "When the server ended by itself, in seconds.")

(defun inkling-server-say (format &rest arguments)
  "Show a message of FORMAT and ARGUMENTS."
  (message "inkling: %s" (apply #'format format arguments)))

;;; Status

(defun inkling-server-tell (&rest news)
  "Take note of NEWS, a plist, and let those know who listen."
  (cl-loop for (key value) on news by #'cddr
           do (setq inkling-server-status (plist-put inkling-server-status key value)))
  (run-hooks 'inkling-server-status-functions)
  (force-mode-line-update t))

(defun inkling-server--reset (state &optional message)
  "Forget what is known; STATE and MESSAGE are what is known without a server."
  (setq inkling-server-status nil)
  (inkling-server-tell :state state :message (or message "")))

;;; Start and end

(defun inkling-server-is-ready ()
  "Whether a server answers."
  (and inkling-server--is-ready (jsonrpc-running-p inkling-server--connection)))

(defun inkling-server-commands ()
  "Return the names of the server's commands."
  inkling-server--commands)

(defun inkling-server--capabilities ()
  "Return what this client can do."
  '(:general (:positionEncodings ["utf-32"])
    :workspace (:applyEdit t :workspaceEdit (:documentChanges :json-false) :workspaceFolders t)
    :textDocument
    (:synchronization (:dynamicRegistration :json-false)
     :inlineCompletion (:dynamicRegistration :json-false)
     :codeAction (:isPreferredSupport t :codeActionLiteralSupport
                  (:codeActionKind (:valueSet ["" "quickfix" "refactor" "source"]))))
    :experimental (:inkling (:status t))))

(defun inkling-server--spawn (command)
  "Start COMMAND as a process."
  ;; The folder of a buffer may go away, the user's own does not.
  (let ((default-directory (expand-file-name "~/")))
    (make-process :name "inkling" :command command :connection-type 'pipe :noquery t
                  :coding 'utf-8-emacs-unix :stderr (get-buffer-create "*inkling stderr*"))))

(defun inkling-server--connect (command)
  "Return a connection to COMMAND."
  (apply #'make-instance 'jsonrpc-process-connection
         :name "inkling"
         :process (lambda () (inkling-server--spawn command))
         :notification-dispatcher #'inkling-server--hear
         :request-dispatcher #'inkling-server--answer
         :on-shutdown #'inkling-server--ended
         ;; What is typed is kept nowhere, in no buffer of events either.
         (if (slot-exists-p 'jsonrpc-process-connection '-events-buffer-config)
             '(:events-buffer-config (:size 0))
           '(:events-buffer-scrollback-size 0))))

(defun inkling-server-start ()
  "Start the server unless it runs, ends again and again, or is not installed."
  (let ((command (inkling-find-command)))
    (cond
     ((or inkling-server--connection
          (>= (length inkling-server--deaths) inkling-server--most-deaths)))
     (command
      (inkling-server--start
       (append command (list "lsp" "--log-file" (expand-file-name inkling-log-file))
               inkling-arguments)))
     (t
      (inkling-server--reset "missing" (inkling-find-advice))
      (unless inkling-server--has-advised
        (setq inkling-server--has-advised t)
        (inkling-server-say "%s" (inkling-find-advice)))))))

(defun inkling-server--start (command)
  "Start COMMAND and greet it."
  (inkling-server--reset "starting")
  (condition-case problem
      (let ((connection (inkling-server--connect command)))
        (setq inkling-server--connection connection)
        (jsonrpc-async-request
         connection :initialize
         (list :processId (emacs-pid)
               :clientInfo (list :name "Emacs" :version emacs-version)
               :rootUri nil
               :workspaceFolders []
               :initializationOptions (or inkling-settings (make-hash-table))
               :capabilities (inkling-server--capabilities))
         :timeout nil
         :error-fn (lambda (_) (jsonrpc-shutdown connection))
         :success-fn (lambda (result) (inkling-server--begin connection result))))
    (error
     (inkling-server--reset "failed" (format "it cannot be started: %s: %s" (car command)
                                             (error-message-string problem))))))

(defun inkling-server--begin (connection result)
  "Open all buffers: CONNECTION has answered `initialize' with RESULT."
  (let ((capabilities (plist-get result :capabilities)))
    (setq inkling-server--is-ready t
          inkling-server--commands
          (append (plist-get (plist-get capabilities :executeCommandProvider) :commands) nil))
    (jsonrpc-notify connection :initialized (make-hash-table))
    (run-hooks 'inkling-server-ready-functions)
    (inkling-server-execute "inkling.status")))

(defun inkling-server--ended (connection)
  "Start another server in place of the one of CONNECTION, unless it was to end."
  (when (eq connection inkling-server--connection)
    (setq inkling-server--connection nil
          inkling-server--is-ready nil
          inkling-server--commands nil)
    (run-hooks 'inkling-server-ended-functions)
    (inkling-server--reset "stopped")
    (if inkling-server--is-restarting
        (progn (setq inkling-server--is-restarting nil)
               (inkling-server-start))
      (inkling-server--revive))))

(defun inkling-server--revive ()
  "Start the server once more, unless it ends again and again."
  (let ((now (float-time)))
    (setq inkling-server--deaths
          (cons now (seq-filter (lambda (at) (< (- now at) inkling-server--within-seconds))
                                inkling-server--deaths)))
    (let ((count (length inkling-server--deaths)))
      (if (< count inkling-server--most-deaths)
          (run-with-timer (* 0.1 (expt 2 count)) nil #'inkling-server-start)
        (inkling-server-say
         "the server ended %d times; M-x inkling-log says why, M-x inkling-restart tries again"
         count)))))

(defun inkling-server-restart ()
  "Have the server leave and another one take its place."
  (setq inkling-server--deaths nil
        inkling-server--has-advised nil)
  (if (null inkling-server--connection)
      (inkling-server-start)
    (setq inkling-server--is-restarting t)
    (inkling-server-leave)))

(defun inkling-server-leave ()
  "Have the server leave, or end it where it does not."
  (when-let ((connection inkling-server--connection))
    (when (jsonrpc-running-p connection)
      (ignore-errors
        (jsonrpc-request connection :shutdown nil :timeout inkling-server--leaving-seconds)
        (jsonrpc-notify connection :exit nil))
      (run-with-timer inkling-server--leaving-seconds nil
                      (lambda ()
                        (when (jsonrpc-running-p connection)
                          (delete-process (jsonrpc--process connection))))))))

(add-hook 'kill-emacs-hook #'inkling-server-leave)

;;; What the server says

(defun inkling-server--hear (_connection method params)
  "Take note of the notification METHOD with PARAMS."
  (pcase method
    ('inkling/status (apply #'inkling-server-tell params))
    ('window/showMessage (inkling-server-say "%s" (plist-get params :message)))))

(defun inkling-server--answer (_connection method params)
  "Return the answer to the request METHOD with PARAMS."
  (when-let ((handler (alist-get method inkling-server-request-handlers)))
    (funcall handler params)))

;;; What the server is asked

(defun inkling-server-request (method params success &optional failure)
  "Ask METHOD with PARAMS and return the id of the request.
SUCCESS takes the result, FAILURE an error."
  (run-hooks 'inkling-server-before-request-functions)
  (jsonrpc-async-request inkling-server--connection method params
                         :success-fn success :error-fn (or failure #'ignore) :timeout nil)
  (jsonrpc--next-request-id inkling-server--connection))

(defun inkling-server-cancel (id)
  "Take back the request ID."
  (inkling-server-notify :$/cancelRequest (list :id id)))

(defun inkling-server-notify (method params)
  "Tell the server METHOD with PARAMS."
  (when (inkling-server-is-ready)
    (jsonrpc-notify inkling-server--connection method params)))

(defun inkling-server-execute (name &optional arguments on-result)
  "Run the server's command NAME with the sequence ARGUMENTS.
ON-RESULT takes what it returns."
  (if (not (inkling-server-is-ready))
      (inkling-server-say "no server runs; M-x inkling-status says why")
    (inkling-server-request
     :workspace/executeCommand
     (list :command name :arguments (vconcat arguments))
     (lambda (result)
       ;; The commands that set something return what `inkling.status' returns.
       (when (and (consp result) (plist-member result :enable))
         (inkling-server-tell :enable (not (eq (plist-get result :enable) :json-false))
                              :level (plist-get result :level)
                              :languages (plist-get result :languages)))
       (when on-result
         (funcall on-result result)))
     (lambda (problem)
       (inkling-server-say "%s" (plist-get problem :message))))))

(provide 'inkling-server)
;;; inkling-server.el ends here
