/** What `inkling model` does: show what there is, add a model, choose the one that answers. */

import { execFile } from "node:child_process";
import { homedir } from "node:os";
import { promisify } from "node:util";
import * as vscode from "vscode";
import { addable, installed, type ModelRow, readRows } from "./rows";
import type { Status } from "./status";
import { runInTerminal } from "./terminal";

const DECLINED = "inkling.modelsDeclined";
const LIST_MS = 60_000;

type Command = () => string[] | undefined;

export class Models {
  private isOffered = false;

  constructor(
    private readonly command: Command,
    private readonly memory: vscode.Memento,
  ) {}

  /** Offer a better model where only the small one answers, until that is declined. */
  follow(status: Status): vscode.Disposable {
    return status.onDidChange((known) => {
      if (known.small_model_only && !this.isOffered && !this.memory.get(DECLINED)) {
        this.isOffered = true;
        void this.offer();
      }
    });
  }

  /** Have the user pick a model that can be added, and add it. */
  async add(): Promise<void> {
    const picked = await this.pick(addable, vscode.l10n.t("Choose the model to add"));
    if (picked !== undefined) {
      await this.run(picked.name, ["model", "add", picked.name]);
    }
  }

  /** Have the user pick the installed model that answers; the server follows by itself. */
  async choose(): Promise<void> {
    const picked = await this.pick(installed, vscode.l10n.t("Choose the model that answers"));
    if (picked !== undefined) {
      await this.output(["model", "use", picked.name]);
    }
  }

  /** Run a verb in a terminal of this name. */
  async run(name: string, verb: readonly string[]): Promise<void> {
    const command = this.command();
    if (command !== undefined) {
      await runInTerminal(`Inkling: ${name}`, [...command, ...verb]);
    }
  }

  private async offer(): Promise<void> {
    const { t } = vscode.l10n;
    const [best] = addable(await this.rows());
    if (best === undefined) {
      return;
    }
    const add = t("Add {0}", best.name);
    const message = t(
      "Only the small model that ships answers. {0} is better and takes {1} of memory.",
      best.name,
      best.memory,
    );
    const chosen = await vscode.window.showInformationMessage(message, add, t("No, thanks"));
    if (chosen === add) {
      await this.run(best.name, ["model", "add", best.name]);
    } else {
      await this.memory.update(DECLINED, true);
    }
  }

  private async pick(
    choose: (rows: ModelRow[]) => ModelRow[],
    placeHolder: string,
  ): Promise<ModelRow | undefined> {
    const items = choose(await this.rows()).map((row) => ({
      label: row.name,
      description: [row.mark, row.memory].filter(Boolean).join(" "),
      detail: [row.parameters, row.licence, row.state].filter(Boolean).join(", "),
      row,
    }));
    if (items.length === 0) {
      return undefined;
    }
    return (await vscode.window.showQuickPick(items, { placeHolder }))?.row;
  }

  private async rows(): Promise<ModelRow[]> {
    return readRows(await this.output(["model", "list", "--json"]));
  }

  /** Return what a verb prints; where it fails, say so and return nothing. */
  private async output(verb: readonly string[]): Promise<string> {
    const [program, ...first] = this.command() ?? [];
    if (program === undefined) {
      return "";
    }
    try {
      const options = { cwd: homedir(), timeout: LIST_MS, windowsHide: true };
      return (await promisify(execFile)(program, [...first, ...verb], options)).stdout;
    } catch (error) {
      const { stderr, message } = error as { stderr?: string; message: string };
      void vscode.window.showErrorMessage(
        `inkling ${verb.join(" ")}: ${stderr?.trim() || message}`,
      );
      return "";
    }
  }
}
