;;; inkling-tests.el --- What Inkling's client computes  -*- lexical-binding: t; -*-

;;; Commentary:

;; Run: emacs -Q --batch -L editors/emacs -l tests/editors/emacs/inkling-tests.el -f \
;;      ert-run-tests-batch-and-exit

;;; Code:

(require 'ert)
(require 'inkling)

(ert-deftest inkling-tests-pieces ()
  (pcase-dolist (`(,text ,part ,piece)
                 '(("one two" word "one")
                   (" two(" word " two")
                   ("()[0]" word "()[")
                   ("\n    é_1 x" word "\n    é_1")
                   ("  " word "  ")
                   ("a b\nc" line "a b")
                   ("\nc d\ne" line "\nc d")
                   ("a\nb" all "a\nb")))
    (should (equal (inkling-ghost--piece text part) piece))))

(ert-deftest inkling-tests-places ()
  (with-temp-buffer
    (insert "#\U0001f600é\nsecond\n")
    (dolist (place (number-sequence (point-min) (point-max)))
      (should (= (inkling-document-point (inkling-document-position place)) place)))
    (should (equal (inkling-document-position 4) '(:line 0 :character 3)))
    ;; What is behind the end of a line is its end.
    (should (= (inkling-document-point '(:line 0 :character 99)) 4))
    (narrow-to-region 5 7)
    (should (equal (inkling-document-position 6) '(:line 1 :character 1)))))

(ert-deftest inkling-tests-languages ()
  (pcase-dolist (`(,mode ,language)
                 '((python-mode "python") (python-ts-mode "python") (c++-mode "cpp")
                   (js-mode "javascript") (sh-mode "shellscript") (emacs-lisp-mode "emacs-lisp")
                   (makefile-gmake-mode "makefile") (text-mode "plaintext")
                   (tsx-ts-mode "typescriptreact") (LaTeX-mode "latex")))
    (with-temp-buffer
      (setq major-mode mode)
      (should (equal (inkling-document-language) language)))))

(ert-deftest inkling-tests-models ()
  (pcase-dolist (`(,json ,name)
                 '(("[{\"name\": \"a\", \"state\": \"installed\"},
                     {\"name\": \"b\", \"state\": \"can be added\"}]" "b")
                   ("[{\"name\": \"a\", \"state\": \"installed\"}]" nil)
                   ("[3, null]" nil)
                   ("no JSON" nil)))
    (with-temp-buffer
      (insert json)
      (should (equal (alist-get 'name (inkling-addable (inkling-models-in (current-buffer))))
                     name)))))

(defun inkling-tests-put-program (folder)
  "Put a program into FOLDER."
  (make-directory folder t)
  (let ((program (expand-file-name "inkling" folder)))
    (write-region "#!/bin/sh\n" nil program nil 'silent)
    (set-file-modes program #o755)))

(ert-deftest inkling-tests-the-program-is-found-where-people-install-it ()
  (let* ((home (make-temp-file "inkling" t))
         (places '(("VIRTUAL_ENV" . "venv") ("UV_TOOL_BIN_DIR" . "uv") ("PIPX_BIN_DIR" . "pipx")
                   ("HOME" . "home") ("PATH" . "path")))
         (folders '("venv/bin" "uv" "pipx" "home/.local/bin" "path"))
         (exec-path (list (expand-file-name "path" home) "relative"))
         (process-environment
          (append (mapcar (lambda (place)
                            (format "%s=%s" (car place) (expand-file-name (cdr place) home)))
                          places)
                  process-environment)))
    (unwind-protect
        (dolist (folder (reverse folders))
          (inkling-tests-put-program (expand-file-name folder home))
          (should (equal (inkling-find-command)
                         (list (expand-file-name (concat folder "/inkling") home)))))
      (delete-directory home t))))

(ert-deftest inkling-tests-a-project-names-no-program ()
  (let* ((project (file-name-as-directory (make-temp-file "inkling" t)))
         (default-directory project)
         (exec-path '("." "bin"))
         (process-environment (append (list "VIRTUAL_ENV" "UV_TOOL_BIN_DIR" "XDG_BIN_HOME"
                                            "PIPX_BIN_DIR" (concat "HOME=" project "home"))
                                      process-environment)))
    (unwind-protect
        (progn
          (dolist (folder '("." "bin" ".venv/bin"))
            (inkling-tests-put-program (expand-file-name folder project)))
          (should-not (inkling-find-command)))
      (delete-directory project t))
    (dolist (option '(inkling-command inkling-arguments inkling-log-file))
      (should (risky-local-variable-p option)))))

(provide 'inkling-tests)
;;; inkling-tests.el ends here
