/**
 * Inkling in VS Code: ghost text from a model on this machine.
 *
 * A client shows what the server answers and reports what became of it, and decides nothing.
 */

import * as vscode from "vscode";
import { registerCommands, serverCommand } from "./commands";
import { Models } from "./models";
import { Server } from "./server";
import { Status, statusItem } from "./status";

let server: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Inkling", { log: true });
  const status = new Status();
  const running = new Server(log, status, serverCommand(status));
  server = running;
  const models = new Models(() => running.command(), context.globalState);
  context.subscriptions.push(
    log,
    running,
    statusItem(status),
    models.follow(status),
    registerCommands(context.extension, running, models, status, log),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (["inkling.command", "inkling.args"].some((name) => change.affectsConfiguration(name))) {
        void running.restart();
      }
    }),
  );
  void running.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
