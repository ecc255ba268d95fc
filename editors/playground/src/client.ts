/** One session with the server: documents as they are typed, completions, and what is asked of them. */

import type { editor, Position } from "monaco-editor/editor";
import type { Dissection, Explanation, Item, Place, Status } from "./protocol";
import type { Rpc } from "./rpc";

export class Client {
  private readonly opened = new Map<editor.ITextModel, { dispose(): void }>();

  constructor(private readonly rpc: Rpc) {}

  /** Begins the session. `told` hears each status, `warned` what the user should read. */
  async begin(told: (status: Status) => void, warned: (message: string) => void): Promise<void> {
    this.rpc.on<Status>("inkling/status", told);
    this.rpc.on<{ message: string }>("window/showMessage", ({ message }) => warned(message));
    await this.rpc.opened();
    await this.rpc.request("initialize", {
      processId: null,
      clientInfo: { name: "inkling-playground" },
      rootUri: null,
      capabilities: {
        general: { positionEncodings: ["utf-16"] },
        textDocument: { synchronization: {}, inlineCompletion: {} },
        experimental: { inkling: { status: true } },
      },
    });
    this.rpc.notify("initialized", {});
  }

  /** Has the server follow a document from now on. */
  open(model: editor.ITextModel): void {
    if (this.opened.has(model)) {
      return;
    }
    this.rpc.notify("textDocument/didOpen", {
      textDocument: {
        uri: model.uri.toString(),
        languageId: model.getLanguageId(),
        version: model.getVersionId(),
        text: model.getValue(),
      },
    });
    this.opened.set(
      model,
      model.onDidChangeContent(({ changes, versionId }) => {
        this.rpc.notify("textDocument/didChange", {
          textDocument: { uri: model.uri.toString(), version: versionId },
          // Monaco's go from the end to the beginning, so each is for the text behind it unchanged.
          contentChanges: changes.map(({ range, text }) => ({
            range: {
              start: { line: range.startLineNumber - 1, character: range.startColumn - 1 },
              end: { line: range.endLineNumber - 1, character: range.endColumn - 1 },
            },
            text,
          })),
        });
      }),
    );
  }

  async complete(
    model: editor.ITextModel,
    position: Position,
    isInvoked: boolean,
    signal: AbortSignal,
  ): Promise<readonly Item[]> {
    const params = {
      textDocument: { uri: model.uri.toString() },
      position: placeOf(position),
      context: { triggerKind: isInvoked ? 1 : 2 },
    };
    const answer = await this.rpc.request<{ items: readonly Item[] }>(
      "textDocument/inlineCompletion",
      params,
      signal,
    );
    return answer.items;
  }

  execute<Result>(command: string, ...given: unknown[]): Promise<Result> {
    return this.rpc.request("workspace/executeCommand", { command, arguments: given });
  }

  explainLast(): Promise<Explanation | null> {
    return this.execute("inkling.explainLast");
  }

  look(uri: string, position: Place, text: string, signal: AbortSignal): Promise<Dissection> {
    return this.rpc.request("inkling/look", { textDocument: { uri }, position, text }, signal);
  }

  close(): void {
    for (const following of this.opened.values()) {
      following.dispose();
    }
    this.opened.clear();
    this.rpc.close();
  }
}

export function placeOf(position: Position): Place {
  return { line: position.lineNumber - 1, character: position.column - 1 };
}
