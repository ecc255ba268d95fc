/** What can be asked for by name: the client's own commands, and those of the server. */

import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { showMenu } from "./menu";
import type { Models } from "./models";
import type { Server } from "./server";
import type { Known, Status } from "./status";

type ExecuteCommand = NonNullable<Middleware["executeCommand"]>;
type Arguments = unknown[] | undefined;

/** What a command of the server takes where it is run without; undefined is to run nothing. */
const ASKED: Record<string, (status: Status) => Promise<Arguments> | Arguments> = {
  "inkling.toggleLanguage": () => {
    const language = vscode.window.activeTextEditor?.document.languageId;
    return language === undefined ? undefined : [language];
  },
  "inkling.setLevel": async (status) => {
    const level = await pickLevel(status.known.level);
    return level === undefined ? undefined : [level];
  },
};

async function pickLevel(current: string | undefined): Promise<string | undefined> {
  const { t } = vscode.l10n;
  const levels = [
    { label: "quiet", description: t("fewer suggestions") },
    { label: "balanced", description: t("as it comes") },
    { label: "eager", description: t("more suggestions") },
  ];
  const placeHolder = t("How sure a suggestion must be; now {0}", current ?? "balanced");
  return (await vscode.window.showQuickPick(levels, { placeHolder }))?.label;
}

/** Run a command of the server, and show what it returns. */
export function serverCommand(status: Status): ExecuteCommand {
  return async (name, given, next) => {
    const args = given.length > 0 ? given : await (ASKED[name] ?? (() => []))(status);
    if (args === undefined) {
      return;
    }
    const result: unknown = await next(name, args);
    if (name === "inkling.pause") {
      await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
    }
    if (name === "inkling.explainLast") {
      const nothing = vscode.l10n.t("Nothing was asked yet.");
      const last = result as { sentence?: string } | null;
      void vscode.window.showInformationMessage(`Inkling: ${last?.sentence ?? nothing}`);
    } else if (isKnown(result)) {
      status.tell(result);
    }
    return result;
  };
}

function isKnown(result: unknown): result is Known {
  return typeof result === "object" && result !== null && "enable" in result;
}

export function registerCommands(
  extension: vscode.Extension<unknown>,
  server: Server,
  models: Models,
  status: Status,
  log: vscode.LogOutputChannel,
): vscode.Disposable {
  const run = vscode.commands.executeCommand;
  const own: Record<string, () => unknown> = {
    "inkling.showMenu": () => showMenu(status),
    "inkling.install": () => server.showAdvice(),
    "inkling.restart": () => server.restart(),
    "inkling.showLog": () => log.show(),
    "inkling.addModel": () => models.add(),
    "inkling.chooseModel": () => models.choose(),
    "inkling.doctor": () => models.run("doctor", ["doctor"]),
    "inkling.stats": () => models.run("stats", ["stats"]),
    "inkling.openSettings": () => run("workbench.action.openSettings", `@ext:${extension.id}`),
    "inkling.getStarted": () =>
      run("workbench.action.openWalkthrough", `${extension.id}#inkling.start`),
  };
  const registered = Object.entries(own).map(([name, call]) =>
    vscode.commands.registerCommand(name, call),
  );
  return vscode.Disposable.from(...registered);
}
