;;; inkling-ghost.el --- Show what Inkling answers as ghost text  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Ask while somebody types, show the answer, and tell the server what became of it.  Nothing here
;; decides what to suggest.

;;; Code:

(require 'cl-lib)
(require 'inkling-document)
(require 'inkling-server)

(defcustom inkling-idle-delay 0.05
  "How long typing must pause before a suggestion is asked for, in seconds."
  :type 'number
  :group 'inkling)

(defface inkling-ghost '((t :inherit shadow))
  "Face of ghost text."
  :group 'inkling)

(defconst inkling-ghost--invoked 1)
(defconst inkling-ghost--automatic 2)

(cl-defstruct (inkling-ghost--suggestion (:constructor inkling-ghost--suggestion-make)
                                         (:copier nil))
  (item nil :documentation "What the server answered.")
  (text nil :documentation "What belongs at the place, with \\n for each end of a line.")
  (place nil :documentation "A marker.")
  (before nil :documentation "What stands before the place on its line.")
  (replaced nil :documentation "How many characters behind point go when all is accepted."))

(defvar-local inkling-ghost--all nil "The suggestions to choose from.")
(defvar-local inkling-ghost--index 0 "The one that is shown.")
(defvar-local inkling-ghost--was-invoked nil "Whether they were asked for.")
(defvar-local inkling-ghost--is-visible nil "Whether one is on the screen.")
(defvar-local inkling-ghost--overlays nil)
(defvar-local inkling-ghost--tick nil "The modification tick after the last command.")
(defvar-local inkling-ghost--menu-was-open nil)

(cl-defstruct (inkling-ghost--request (:constructor inkling-ghost--request-make) (:copier nil))
  id buffer tick point kind advance)

(defvar inkling-ghost--asked nil "The request that is under way.")
(defvar inkling-ghost--timer nil)

;;; Where the suggestion and the cursor are

(defun inkling-ghost--menu-is-open ()
  "Whether a menu of completions is open."
  (or (bound-and-true-p completion-in-region-mode)
      (bound-and-true-p company-candidates)
      (bound-and-true-p ac-completing)))

(defun inkling-ghost--can-show ()
  "Whether somebody who types here can be shown something."
  (and (eq (current-buffer) (window-buffer (selected-window)))
       (not (or (inkling-ghost--menu-is-open)
                (region-active-p)
                executing-kbd-macro
                buffer-read-only
                (and (bound-and-true-p evil-local-mode)
                     (not (memq (bound-and-true-p evil-state) '(insert emacs))))))))

(defun inkling-ghost--reached (suggestion)
  "Return how much of SUGGESTION stands before point, nil where it does not fit."
  (let ((place (inkling-ghost--suggestion-place suggestion))
        (text (inkling-ghost--suggestion-text suggestion)))
    (when (<= place (point) (+ place (length text)))
      (let ((before (save-excursion
                      (goto-char place)
                      (buffer-substring-no-properties (line-beginning-position) place)))
            (typed (buffer-substring-no-properties place (point))))
        (and (equal before (inkling-ghost--suggestion-before suggestion))
             (string-prefix-p typed text)
             (length typed))))))

(defun inkling-ghost--suggestion-of (item point)
  "Return the suggestion of ITEM, which was asked for at POINT; nil for none."
  (let* ((text (plist-get item :insertText))
         (range (plist-get item :range))
         (start (if range (inkling-document-point (plist-get range :start)) point))
         (end (if range (inkling-document-point (plist-get range :end)) point)))
    ;; What is no string is a snippet.
    (when (and (stringp text) (<= start point end)
               (<= (point-min) start) (<= end (line-end-position)))
      (save-excursion
        (goto-char start)
        (inkling-ghost--suggestion-make
         :item item :text (string-replace "\r\n" "\n" text) :place (copy-marker start)
         :before (buffer-substring-no-properties (line-beginning-position) start)
         :replaced (- end point))))))

(defun inkling-ghost--continued (old new)
  "Return NEW, as the rest of OLD where that goes on."
  (let ((command (plist-get (inkling-ghost--suggestion-item old) :command))
        (reached (inkling-ghost--reached old)))
    (if (and command reached
             (equal command (plist-get (inkling-ghost--suggestion-item new) :command)))
        ;; The number of accepted characters goes on.
        (inkling-ghost--suggestion-make
         :item (inkling-ghost--suggestion-item new)
         :text (concat (substring (inkling-ghost--suggestion-text old) 0
                                  (- (inkling-ghost--suggestion-place new)
                                     (inkling-ghost--suggestion-place old)))
                       (inkling-ghost--suggestion-text new))
         :place (inkling-ghost--suggestion-place old)
         :before (inkling-ghost--suggestion-before old)
         :replaced (inkling-ghost--suggestion-replaced new))
      new)))

(defun inkling-ghost--current ()
  "Return the suggestion that is chosen, nil where it does not fit."
  (let ((one (nth inkling-ghost--index inkling-ghost--all)))
    (and one
         (inkling-ghost--can-show)
         (let ((reached (inkling-ghost--reached one)))
           (and reached (< reached (length (inkling-ghost--suggestion-text one)))))
         one)))

(defun inkling-ghost--rest (suggestion)
  "Return what is left of SUGGESTION behind point."
  (substring (inkling-ghost--suggestion-text suggestion) (inkling-ghost--reached suggestion)))

;;; Drawing

(defun inkling-ghost--erase ()
  "Take what is drawn from the screen."
  (mapc #'delete-overlay inkling-ghost--overlays)
  (setq inkling-ghost--overlays nil
        inkling-ghost--is-visible nil))

(defun inkling-ghost--put (place text)
  "Draw TEXT at PLACE."
  (let ((overlay (make-overlay place place nil t t)))
    (overlay-put overlay 'window (selected-window))
    (overlay-put overlay 'priority 100)
    (overlay-put overlay 'after-string text)
    (push overlay inkling-ghost--overlays)))

(defun inkling-ghost--draw (text)
  "Draw TEXT: its first line at point, the others behind the end of the line."
  (inkling-ghost--erase)
  (let* ((first-end (or (string-search "\n" text) (length text)))
         (is-split (not (eolp)))
         (ghost (propertize text 'face 'inkling-ghost))
         (first (substring ghost 0 (if is-split first-end nil))))
    ;; The cursor stays before what is drawn; before the end of a line it needs a place.
    (when (and (not is-split) (zerop first-end))
      (setq first (concat " " first)))
    (unless (string-empty-p first)
      (put-text-property 0 1 'cursor t first)
      (inkling-ghost--put (point) first))
    (when (and is-split (< first-end (length text)))
      (inkling-ghost--put (line-end-position) (substring ghost first-end)))
    (setq inkling-ghost--is-visible t)))

(defun inkling-ghost--redraw ()
  "Draw what is left of the current suggestion, if any, and return it."
  (let ((one (inkling-ghost--current)))
    (if one
        (inkling-ghost--draw (inkling-ghost--rest one))
      (inkling-ghost--hide))
    one))

(defun inkling-ghost--hide ()
  "Show nothing."
  (inkling-ghost--erase)
  (dolist (one inkling-ghost--all)
    (set-marker (inkling-ghost--suggestion-place one) nil))
  (setq inkling-ghost--all nil))

;;; Asking

(defun inkling-ghost--cancel ()
  "Take back the request that is under way, and the one that is to come."
  (when inkling-ghost--timer
    (cancel-timer inkling-ghost--timer)
    (setq inkling-ghost--timer nil))
  (when inkling-ghost--asked
    (inkling-server-cancel (inkling-ghost--request-id inkling-ghost--asked))
    (setq inkling-ghost--asked nil)))

(defun inkling-ghost-forget ()
  "Take back what is shown and what is under way."
  (inkling-ghost--cancel)
  (inkling-ghost--hide))

(defun inkling-ghost--ask (kind &optional advance)
  "Ask for a suggestion at point; KIND says why, ADVANCE to show the second one."
  (inkling-ghost--cancel)
  (when (and (inkling-document-identifier) (inkling-server-is-ready) (inkling-ghost--can-show))
    (let ((request (inkling-ghost--request-make
                    :buffer (current-buffer) :tick (buffer-chars-modified-tick)
                    :point (point) :kind kind :advance advance)))
      (setf (inkling-ghost--request-id request)
            (inkling-server-request
             :textDocument/inlineCompletion
             (list :textDocument (inkling-document-identifier)
                   :position (inkling-document-position)
                   :context (list :triggerKind kind))
             (lambda (result) (inkling-ghost--answered request result))
             (lambda (_) (inkling-ghost--answered request 'failed))))
      (setq inkling-ghost--asked request))))

(defun inkling-ghost--ask-later ()
  "Ask for a suggestion when typing pauses."
  (when inkling-ghost--timer
    (cancel-timer inkling-ghost--timer))
  (when (inkling-document-identifier)
    (setq inkling-ghost--timer
          (run-with-idle-timer inkling-idle-delay nil #'inkling-ghost--ask-now (current-buffer)))))

(defun inkling-ghost--ask-now (buffer)
  "Ask in BUFFER, unless the request under way is for what stands there."
  (setq inkling-ghost--timer nil)
  (when (and (buffer-live-p buffer) (eq buffer (window-buffer (selected-window))))
    (with-current-buffer buffer
      (unless (and inkling-ghost--asked
                   (eq (inkling-ghost--request-buffer inkling-ghost--asked) buffer)
                   (= (inkling-ghost--request-tick inkling-ghost--asked)
                      (buffer-chars-modified-tick)))
        (inkling-ghost--ask inkling-ghost--automatic)))))

(defun inkling-ghost--answered (request result)
  "Show RESULT, which is the answer to REQUEST, unless that was taken back."
  (when (eq request inkling-ghost--asked)
    (setq inkling-ghost--asked nil)
    (let ((buffer (inkling-ghost--request-buffer request)))
      (when (and (buffer-live-p buffer) (not (eq result 'failed)))
        (with-current-buffer buffer
          (inkling-ghost--show
           request (append (if (vectorp result) result (plist-get result :items)) nil)))))))

(defun inkling-ghost--show (request items)
  "Show one of ITEMS, which answer REQUEST, where it fits what was typed since."
  (let* ((old (inkling-ghost--current))
         (is-untouched (= (inkling-ghost--request-tick request) (buffer-chars-modified-tick)))
         (all (cl-loop for item in items
                       for new = (inkling-ghost--suggestion-of
                                  item (inkling-ghost--request-point request))
                       for one = (if (and new old) (inkling-ghost--continued old new) new)
                       when (and one (inkling-ghost--reached one)
                                 (not (string-empty-p (inkling-ghost--rest one))))
                       collect one)))
    (cond
     (all
      (setq inkling-ghost--all all
            inkling-ghost--index (if (and (inkling-ghost--request-advance request) (cdr all)) 1 0)
            inkling-ghost--was-invoked (eq (inkling-ghost--request-kind request)
                                           inkling-ghost--invoked))
      (inkling-ghost--tell-shown (inkling-ghost--redraw) old))
     ;; What is on the screen may still fit what was typed since; the next answer will tell.
     (is-untouched (inkling-ghost--hide)))))

(defun inkling-ghost--tell-shown (one old)
  "Tell the server that ONE is shown in place of OLD, unless it is the same."
  (when (and one
             (not (and old (equal (plist-get (inkling-ghost--suggestion-item one) :command)
                                  (plist-get (inkling-ghost--suggestion-item old) :command)))))
    (inkling-server-notify :textDocument/didShowCompletion
                           (list :item (inkling-ghost--suggestion-item one)))))

(defun inkling-ghost-refresh ()
  "Ask at point if nothing is shown there: the server can answer now."
  (when (and (bound-and-true-p inkling-mode)
             (not inkling-ghost--is-visible)
             (inkling-ghost--can-show))
    (inkling-ghost--ask-later)))

(defun inkling-ghost-after-command ()
  "Follow what the last command did to this buffer."
  (let* ((tick (buffer-chars-modified-tick))
         (is-changed (and inkling-ghost--tick (/= tick inkling-ghost--tick)))
         (is-open (inkling-ghost--menu-is-open))
         (is-closed (and inkling-ghost--menu-was-open (not is-open))))
    (setq inkling-ghost--tick tick
          inkling-ghost--menu-was-open is-open)
    (when inkling-ghost--all
      (inkling-ghost--redraw))
    (cond
     (is-open (inkling-ghost-forget))
     ((or is-changed is-closed) (inkling-ghost--ask-later))
     ;; Where nothing was typed, what was asked for another place is of no use.
     ((and inkling-ghost--asked
           (not (and (eq (inkling-ghost--request-buffer inkling-ghost--asked) (current-buffer))
                     (= (inkling-ghost--request-point inkling-ghost--asked) (point)))))
      (inkling-ghost--cancel)))))

;;; What the user does

(defun inkling-ghost--piece (rest part)
  "Return the piece of REST that is accepted: PART is `all', `word' or `line'."
  (pcase part
    ('word (if (string-match (rx bos (or (seq (* (in " \t\n\f"))
                                              (+ (in alnum "_" nonascii)))
                                         (seq (* (in " \t\n\f"))
                                              (+ (not (in alnum "_" nonascii " \t\n\f"))))))
                             rest)
               (match-string 0 rest)
             rest))
    ('line (progn (string-match (rx bos (* "\n") (* (not "\n"))) rest)
                  (match-string 0 rest)))
    (_ rest)))

(defun inkling-ghost--utf16-length (suggestion length)
  "Return how many UTF-16 units the LENGTH first characters of SUGGESTION are."
  (let* ((text (substring (inkling-ghost--suggestion-text suggestion) 0 length))
         (has-crlf (string-search "\r\n" (plist-get (inkling-ghost--suggestion-item suggestion)
                                                    :insertText))))
    (+ length
       (cl-count-if (lambda (character) (> character #xffff)) text)
       (if has-crlf (cl-count ?\n text) 0))))

(defun inkling-ghost-accept (part)
  "Insert PART of what is shown: `all', `word' or `line'.
Return whether there was something."
  (let ((one (inkling-ghost--current)))
    (when one
      (let* ((before (inkling-ghost--reached one))
             (rest (inkling-ghost--rest one))
             (piece (inkling-ghost--piece rest part))
             (is-whole (equal piece rest))
             (item (inkling-ghost--suggestion-item one)))
        (undo-boundary)
        (when is-whole
          (delete-region (point) (+ (point) (inkling-ghost--suggestion-replaced one)))
          (inkling-ghost-forget))
        (insert piece)
        (if is-whole
            (let ((command (plist-get item :command)))
              (when command
                (inkling-server-execute (plist-get command :command)
                                        (plist-get command :arguments))))
          (inkling-document-flush)
          (inkling-server-notify
           :textDocument/didPartiallyAcceptCompletion
           (list :item item
                 :acceptedLength (inkling-ghost--utf16-length one (+ before (length piece)))))))
      t)))

(defun inkling-ghost-select (step)
  "Show the suggestion that is STEP further; where there is one, ask for more."
  (cond
   ((null inkling-ghost--all))
   ((and (null (cdr inkling-ghost--all)) (not inkling-ghost--was-invoked))
    (inkling-ghost--ask inkling-ghost--invoked t))
   (t
    (let ((old (inkling-ghost--current)))
      (setq inkling-ghost--index (mod (+ inkling-ghost--index step) (length inkling-ghost--all)))
      (inkling-ghost--tell-shown (inkling-ghost--redraw) old)))))

(defun inkling-ghost-request ()
  "Ask for a suggestion at point now."
  (inkling-ghost--ask inkling-ghost--invoked))

(add-hook 'inkling-server-ended-functions
          (lambda ()
            (setq inkling-ghost--asked nil)
            (dolist (buffer (buffer-list))
              (with-current-buffer buffer
                (when inkling-ghost--all
                  (inkling-ghost--hide))))))

(provide 'inkling-ghost)
;;; inkling-ghost.el ends here
