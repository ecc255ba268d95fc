/** Keep one server running for this window, and say what it is doing. */

import { homedir } from "node:os";
import { createInterface } from "node:readline";
import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  type FeatureState,
  LanguageClient,
  type LanguageClientOptions,
  type Middleware,
  RevealOutputChannelOn,
} from "vscode-languageclient/node";
import { findCommand, installCommand } from "./find";
import type { Known, Status } from "./status";

const MOST_DEATHS = 5;
const WITHIN_MS = 180_000;
const LEAVING_MS = 3_000; // what a server gets to leave before it is ended

const DOCUMENTS = [
  { scheme: "file" },
  { scheme: "untitled" },
  { scheme: "vscode-notebook-cell" },
] as const;

/** Every message of ours is shown by us, once; the library's go to the log alone. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

/** A log that takes no trace of messages: they hold the text of documents. */
function withoutTrace(log: vscode.LogOutputChannel): vscode.LogOutputChannel {
  return Object.create(log, {
    logLevel: { value: vscode.LogLevel.Off },
    onDidChangeLogLevel: { value: () => new vscode.Disposable(() => undefined) },
    trace: { value: () => undefined },
  });
}

const asksForStatus = {
  fillClientCapabilities: (capabilities: { experimental?: unknown }) => {
    capabilities.experimental = { inkling: { status: true } };
  },
  initialize: () => undefined,
  getState: (): FeatureState => ({ kind: "static" }),
  clear: () => undefined,
};

export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private deaths: number[] = []; // when a server ended by itself
  private hasAdvised = false;
  private waiting: NodeJS.Timeout | undefined;
  private turn: Promise<void> = Promise.resolve(); // so that starts and stops follow each other

  constructor(
    private readonly log: vscode.LogOutputChannel,
    private readonly status: Status,
    private readonly executeCommand: NonNullable<Middleware["executeCommand"]>,
  ) {}

  /** Return the program with the arguments that come first, if there is one. */
  command(): string[] | undefined {
    return findCommand(configured("command"));
  }

  private async start(): Promise<void> {
    const command = this.command();
    await vscode.commands.executeCommand("setContext", "inkling.isMissing", !command);
    if (command === undefined) {
      this.status.reset("missing", this.advice());
      this.advise();
      return;
    }
    this.status.reset("starting");
    const client = this.newClient(command);
    this.client = client;
    void this.launch(client); // nobody waits for a server that never answers
  }

  private async launch(client: LanguageClient): Promise<void> {
    try {
      await client.start();
      await vscode.commands.executeCommand("setContext", "inkling.isRunning", true);
      this.ask(client);
    } catch (error) {
      this.log.error(`the server does not start: ${error}`);
      this.died(client);
    }
  }

  /** Start a server; one that runs leaves. */
  restart(): Promise<void> {
    return this.inTurn(async () => {
      this.deaths = [];
      this.hasAdvised = false;
      this.status.reset("restarting");
      await this.stop();
      await this.start();
    });
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(work);
    return this.turn;
  }

  async stop(): Promise<void> {
    clearTimeout(this.waiting);
    const client = this.client;
    this.client = undefined;
    await vscode.commands.executeCommand("setContext", "inkling.isRunning", false);
    try {
      await client?.stop(LEAVING_MS);
    } catch (error) {
      this.log.warn(`the server did not leave: ${error}`); // the library ends its process
    }
  }

  dispose(): void {
    void this.stop();
  }

  private newClient([program, ...first]: string[]): LanguageClient {
    const args = [...first, "lsp", "--stdio", ...configured("args")];
    // In the workspace's folder, `python -m` would run modules of the workspace.
    const options = { cwd: homedir() };
    const server = { command: program ?? "", args, options };
    const clientOptions = this.clientOptions(() => this.died(client));
    const client: LanguageClient = new QuietClient("inkling", "Inkling", server, clientOptions);
    client.registerFeature(asksForStatus);
    client.onNotification("inkling/status", (news: Known) => {
      if (client === this.client) {
        this.status.tell(news);
      }
    });
    return client;
  }

  private clientOptions(closed: () => void): LanguageClientOptions {
    return {
      documentSelector: [...DOCUMENTS],
      outputChannel: this.log,
      traceOutputChannel: withoutTrace(this.log),
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      stdioOptions: {
        stdout: () => undefined,
        stderr: (stream) => {
          createInterface({ input: stream }).on("line", (text) => this.log.info(text));
        },
      },
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          closed();
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
      middleware: {
        executeCommand: this.executeCommand,
        workspace: {
          configuration: (params) => {
            setTimeout(() => this.client && this.ask(this.client)); // once it has been told
            return params.items.map(settings);
          },
          // What was changed is asked for, and is told without what is none of the server's.
          didChangeConfiguration: async () => {
            const method = "workspace/didChangeConfiguration";
            await this.client?.sendNotification(method, { settings: null });
          },
        },
      },
    };
  }

  /** Ask what the commands and the settings have set. */
  private ask(client: LanguageClient): void {
    if (client.isRunning()) {
      const params = { command: "inkling.status", arguments: [] };
      client.sendRequest<Known>("workspace/executeCommand", params).then(
        (known) => client === this.client && this.status.tell(known),
        () => undefined, // it has ended; who keeps it running says so
      );
    }
  }

  /** Start a server once more, unless it ends again and again. */
  private died(client: LanguageClient | undefined): void {
    if (client === undefined || client !== this.client) {
      return; // it was to end, or that is known
    }
    this.client = undefined;
    void vscode.commands.executeCommand("setContext", "inkling.isRunning", false);
    const now = Date.now();
    this.deaths = [...this.deaths.filter((at) => now - at < WITHIN_MS), now];
    if (this.deaths.length < MOST_DEATHS) {
      this.status.reset("restarting");
      const pause = 100 * 2 ** this.deaths.length;
      this.waiting = setTimeout(() => this.inTurn(() => this.start()), pause);
      return;
    }
    this.status.reset("stopped", vscode.l10n.t("The server ended {0} times.", MOST_DEATHS));
    void this.tellOfDeaths();
  }

  private async tellOfDeaths(): Promise<void> {
    const { t } = vscode.l10n;
    const [log, restart] = [t("Show the log"), t("Restart")];
    const message = t("Inkling's server ended {0} times. The log says why.", MOST_DEATHS);
    const chosen = await vscode.window.showErrorMessage(message, log, restart);
    if (chosen === log) {
      this.log.show();
    } else if (chosen === restart) {
      await this.restart();
    }
  }

  private advice(): string {
    const { t } = vscode.l10n;
    const [named] = configured("command");
    if (named !== undefined) {
      return t('{0} cannot be run; the setting "inkling.command" names it.', named);
    }
    const command = installCommand();
    return t("The program inkling is not installed. `{0}` installs it.", command);
  }

  /** Say once how the program is installed, with the command to copy. */
  private advise(): void {
    if (!this.hasAdvised) {
      this.hasAdvised = true;
      void this.showAdvice();
    }
  }

  async showAdvice(): Promise<void> {
    const { t } = vscode.l10n;
    const isNamed = configured("command").length > 0;
    const first = isNamed ? t("Open the settings") : t("Copy the command");
    const again = t("Look again");
    const chosen = await vscode.window.showWarningMessage(this.advice(), first, again);
    if (chosen === again) {
      await this.restart();
    } else if (chosen === first && isNamed) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "inkling.command");
    } else if (chosen === first) {
      await vscode.env.clipboard.writeText(installCommand());
    }
  }
}

/** Return a setting of the client's own, which no workspace can set. */
function configured(name: "command" | "args"): string[] {
  const value = vscode.workspace.getConfiguration("inkling").get<unknown>(name);
  const isList = Array.isArray(value) && value.every((one) => typeof one === "string");
  return isList ? value : [];
}

/** Return the settings of the server: all but the client's own. */
function settings(): Record<string, unknown> {
  const { command, args, ...others } = JSON.parse(
    JSON.stringify(vscode.workspace.getConfiguration().get("inkling") ?? {}),
  );
  return others;
}
