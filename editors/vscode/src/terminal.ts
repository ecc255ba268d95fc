/** Run a verb of `inkling` in a terminal's panel, where its progress shows. */

import { type ChildProcess, spawn } from "node:child_process";
import { homedir } from "node:os";
import * as vscode from "vscode";

const COLUMNS = 100;
const INTERRUPT = "\u0003";

/** A terminal without a shell, so that nothing has to be quoted; any key closes it at the end. */
class VerbTerminal implements vscode.Pseudoterminal {
  private readonly written = new vscode.EventEmitter<string>();
  private readonly closed = new vscode.EventEmitter<void>();
  readonly onDidWrite = this.written.event;
  readonly onDidClose = this.closed.event;
  private process: ChildProcess | undefined;

  constructor(
    private readonly command: readonly string[],
    private readonly onEnd: (isWell: boolean) => void,
  ) {}

  open(size: vscode.TerminalDimensions | undefined): void {
    const [program = "", ...args] = this.command;
    const columns = String(size?.columns ?? COLUMNS);
    const env = { ...process.env, FORCE_COLOR: "1", COLUMNS: columns, PYTHONIOENCODING: "utf-8" };
    const child = spawn(program, args, { cwd: homedir(), env, stdio: ["ignore", "pipe", "pipe"] });
    this.process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => this.write(text));
    }
    child.on("error", (error) => this.write(`${error.message}\n`));
    child.on("close", (code) => {
      this.process = undefined;
      this.write(`\n${vscode.l10n.t("Press any key to close.")}\n`);
      this.onEnd(code === 0);
    });
  }

  close(): void {
    this.process?.kill();
  }

  handleInput(keys: string): void {
    if (this.process === undefined) {
      this.closed.fire();
    } else if (keys === INTERRUPT) {
      this.process.kill("SIGINT");
    }
  }

  private write(text: string): void {
    this.written.fire(text.replace(/\r?\n/g, "\r\n"));
  }
}

/** Run a command in a terminal that is shown; return whether it ended well. */
export function runInTerminal(name: string, command: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const pty = new VerbTerminal(command, resolve);
    vscode.window.createTerminal({ name, pty, isTransient: true }).show();
  });
}
