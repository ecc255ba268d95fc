/** The menu behind the status item: all there is to do, by what is going on. */

import * as vscode from "vscode";
import { description, type Known, type Status } from "./status";

interface Entry extends vscode.QuickPickItem {
  command?: string;
}

export async function showMenu(status: Status): Promise<void> {
  const placeHolder = description(status.known).split("\n")[0] || "Inkling";
  const picked = await vscode.window.showQuickPick(entries(status.known), { placeHolder });
  if (picked?.command !== undefined) {
    await vscode.commands.executeCommand(picked.command);
  }
}

const SEPARATOR: Entry = { label: "", kind: vscode.QuickPickItemKind.Separator };

function entries(known: Known): Entry[] {
  const { t } = vscode.l10n;
  if (known.state === "missing") {
    return [
      { label: `$(desktop-download) ${t("Install the program")}`, command: "inkling.install" },
      { label: `$(refresh) ${t("Look again")}`, command: "inkling.restart" },
      { label: `$(book) ${t("Get started")}`, command: "inkling.getStarted" },
    ];
  }
  const isRunning = known.state !== "stopped" && known.state !== "starting";
  return [
    ...(isRunning ? [...switches(known), SEPARATOR] : []),
    { label: `$(add) ${t("Add a model")}`, command: "inkling.addModel" },
    { label: `$(server) ${t("Choose the model")}`, command: "inkling.chooseModel" },
    SEPARATOR,
    { label: `$(checklist) ${t("Check that all is well")}`, command: "inkling.doctor" },
    { label: `$(graph) ${t("Show statistics")}`, command: "inkling.stats" },
    { label: `$(output) ${t("Show the log")}`, command: "inkling.showLog" },
    { label: `$(debug-restart) ${t("Restart")}`, command: "inkling.restart" },
    { label: `$(gear) ${t("Open the settings")}`, command: "inkling.openSettings" },
    { label: `$(book) ${t("Get started")}`, command: "inkling.getStarted" },
  ];
}

/** What commands of the server change, and why the last request was answered as it was. */
function switches(known: Known): Entry[] {
  const { t } = vscode.l10n;
  const language = vscode.window.activeTextEditor?.document.languageId;
  const isOff = language !== undefined && known.languages?.[language] === false;
  const all: Entry[] = [
    known.enable === false
      ? { label: `$(play) ${t("Resume")}`, command: "inkling.resume" }
      : { label: `$(debug-pause) ${t("Pause")}`, command: "inkling.pause" },
  ];
  if (language !== undefined) {
    const label = isOff ? t("Switch on for {0}", language) : t("Switch off for {0}", language);
    all.push({ label: `$(circle-slash) ${label}`, command: "inkling.toggleLanguage" });
  }
  const level: Entry = { label: `$(settings) ${t("Set the level")}`, command: "inkling.setLevel" };
  all.push(known.level === undefined ? level : { ...level, description: known.level });
  all.push({
    label: `$(question) ${t("Explain the last answer")}`,
    command: "inkling.explainLast",
  });
  return all;
}
