/** What the server says of itself, and the item of the status bar that shows it. */

import * as vscode from "vscode";

export type State =
  | "missing"
  | "starting"
  | "loading"
  | "ready"
  | "restarting"
  | "failed"
  | "stopped";

/** The first four as the notification `inkling/status` has them, the rest as the commands answer. */
export interface Known {
  state?: State;
  message?: string;
  model?: string;
  small_model_only?: boolean;
  enable?: boolean;
  level?: string;
  languages?: Record<string, boolean>;
}

export class Status {
  known: Known = {};
  private readonly emitter = new vscode.EventEmitter<Known>();
  readonly onDidChange = this.emitter.event;

  /** Take note of what the server says: of the engine, or what commands have set. */
  tell(news: Known): void {
    this.known = { ...this.known, ...news };
    this.emitter.fire(this.known);
  }

  /** Forget all; `state` is what is known without a server. */
  reset(state: State, message = ""): void {
    this.known = {};
    this.tell({ state, message });
  }
}

interface Line {
  icon: string;
  text: string;
  colour?: "error" | "warning";
}

function line(known: Known, language: string | undefined): Line {
  const { t } = vscode.l10n;
  switch (known.state) {
    case "missing":
      return { icon: "warning", text: t("Inkling: not installed"), colour: "warning" };
    case "starting":
      return { icon: "sync~spin", text: t("Inkling: starting") };
    case "loading":
      return { icon: "sync~spin", text: t("Inkling: loading") };
    case "restarting":
      return { icon: "sync~spin", text: t("Inkling: restarting") };
    case "failed":
      return { icon: "error", text: t("Inkling: failed"), colour: "error" };
    case "stopped":
      return { icon: "error", text: t("Inkling: stopped"), colour: "error" };
  }
  if (known.enable === false) {
    return { icon: "debug-pause", text: t("Inkling: paused") };
  }
  if (language !== undefined && known.languages?.[language] === false) {
    return { icon: "circle-slash", text: t("Inkling: off for {0}", language) };
  }
  const text = known.small_model_only ? t("Inkling (small model)") : "Inkling";
  return { icon: "edit", text };
}

/** Return what is going on and what to do about it, for people. */
export function description({ state, message, level }: Known): string {
  const { t } = vscode.l10n;
  const advice = {
    failed: t("See the log, then restart."),
    stopped: t("See the log, then restart."),
    missing: "",
    starting: "",
    loading: "",
    ready: level ? t("Level: {0}", level) : "",
    restarting: "",
  }[state ?? "starting"];
  return [message, advice].filter(Boolean).join("\n");
}

/** Show a status in the bar below; a click opens the menu. */
export function statusItem(status: Status): vscode.Disposable {
  const item = vscode.window.createStatusBarItem("inkling", vscode.StatusBarAlignment.Right, 100);
  item.name = "Inkling";
  item.command = "inkling.showMenu";
  const draw = () => {
    const shown = line(status.known, vscode.window.activeTextEditor?.document.languageId);
    item.text = `$(${shown.icon}) ${shown.text}`;
    item.tooltip = description(status.known);
    item.accessibilityInformation = { label: `${shown.text}. ${item.tooltip}` };
    item.backgroundColor =
      shown.colour && new vscode.ThemeColor(`statusBarItem.${shown.colour}Background`);
    item.show();
  };
  draw();
  return vscode.Disposable.from(
    item,
    status.onDidChange(draw),
    vscode.window.onDidChangeActiveTextEditor(draw),
  );
}
