/** Monaco with what a small editor needs: ghost text, find, brackets, folding, no menu of words. */

import { editor, KeyCode, KeyMod, Uri } from "monaco-editor/editor";
import "monaco-editor/features/bracketMatching/register";
import "monaco-editor/features/caretOperations/register";
import "monaco-editor/features/clipboard/register";
import "monaco-editor/features/codeEditor/register";
import "monaco-editor/features/codicon/register";
import "monaco-editor/features/comment/register";
import "monaco-editor/features/cursorUndo/register";
import "monaco-editor/features/find/register";
import "monaco-editor/features/folding/register";
import "monaco-editor/features/indentation/register";
import "monaco-editor/features/inlineCompletions/register";
import "monaco-editor/features/linesOperations/register";
import "monaco-editor/features/multicursor/register";
import "monaco-editor/features/smartSelect/register";
import "monaco-editor/features/toggleTabFocusMode/register";
import "monaco-editor/features/wordOperations/register";
import "monaco-editor/languages/definitions/cpp/register";
import "monaco-editor/languages/definitions/go/register";
import "monaco-editor/languages/definitions/html/register";
import "monaco-editor/languages/definitions/java/register";
import "monaco-editor/languages/definitions/javascript/register";
import "monaco-editor/languages/definitions/markdown/register";
import "monaco-editor/languages/definitions/python/register";
import "monaco-editor/languages/definitions/rust/register";
import "monaco-editor/languages/definitions/shell/register";
import "monaco-editor/languages/definitions/typescript/register";
import { CURSOR, type Sample } from "./samples";

// Where Monaco looks for what runs beside the page.
Object.assign(self, { MonacoEnvironment: { getWorker: () => new Worker("/worker.js") } });

export const COMPLETES = "editor.action.inlineSuggest.trigger";

export type Editor = editor.IStandaloneCodeEditor;

export function createEditor(place: HTMLElement): Editor {
  defineThemes();
  const created = editor.create(place, {
    model: null,
    ariaLabel: "Code; F6 goes to what the model saw, Ctrl+M lets Tab move on",
    automaticLayout: true,
    fontSize: 14,
    lineHeight: 22,
    inlineSuggest: { enabled: true, keepOnBlur: true, showToolbar: "never" },
    minimap: { enabled: false },
    padding: { top: 12 },
    quickSuggestions: false,
    renderLineHighlight: "line",
    scrollBeyondLastLine: false,
    tabSize: 4,
    wordBasedSuggestions: "off",
  });
  editor.addKeybindingRules([
    { keybinding: KeyMod.Alt | KeyCode.Backslash, command: COMPLETES },
    {
      keybinding: KeyMod.CtrlCmd | KeyMod.Alt | KeyCode.RightArrow,
      command: "editor.action.inlineSuggest.acceptNextLine",
      when: "inlineSuggestionVisible && !editorReadonly",
    },
  ]);
  return created;
}

/** Shows a sample as it was left, or as it is with the cursor where its hole is. */
export function showSample(shown: Editor, sample: Sample): editor.ITextModel {
  const uri = Uri.parse(`inmemory://playground/${sample.file}`);
  const known = editor.getModel(uri);
  const offset = sample.text.indexOf(CURSOR);
  const model = known ?? editor.createModel(sample.text.replace(CURSOR, ""), sample.id, uri);
  shown.setModel(model);
  if (known === null) {
    shown.setPosition(model.getPositionAt(offset));
    shown.revealLineInCenterIfOutsideViewport(model.getPositionAt(offset).lineNumber);
  }
  return model;
}

function defineThemes(): void {
  editor.defineTheme("light", {
    base: "vs",
    inherit: true,
    rules: [],
    colors: { "editor.background": "#ffffff", "editorGhostText.foreground": "#7d7aa8" },
  });
  editor.defineTheme("dark", {
    base: "vs-dark",
    inherit: true,
    rules: [],
    colors: { "editor.background": "#17181d", "editorGhostText.foreground": "#8f8cc2" },
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = (): void => editor.setTheme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", follow);
  follow();
}
