/** The page: an editor, a session with a server, and a panel of what the model saw. */

import "./style.css";
import { Emitter, editor, languages } from "monaco-editor/editor";
import { showAnswer, showTime } from "./answer";
import { Client, placeOf } from "./client";
import { byId, html } from "./dom";
import { COMPLETES, createEditor, showSample } from "./editor";
import { ExpertsView } from "./experts";
import type { Item, Origin, Place, Status } from "./protocol";
import { RefusedError, Rpc } from "./rpc";
import { SAMPLES } from "./samples";
import { enter, type Session, socketFor } from "./session";
import { TokensView } from "./tokens";

const DEBOUNCE_MS = 40;
/** How long nobody types before the model is asked to look again. */
const LOOK_AFTER_MS = 250;

const NO_KEY =
  "This address has let in a tab already, or none. Use that tab, or start `inkling playground` anew.";
const GONE = "The server has gone. Start `inkling playground` again and open its address.";

class Playground {
  private client: Client | null = null;
  private looking = 0;
  private readonly code = createEditor(byId("editor"));
  private readonly experts = new ExpertsView();
  private readonly tokens = new TokensView((index) => this.experts.choose(index));
  private readonly again = new Emitter<void>();

  constructor(private readonly session: Session) {
    this.fillChoices();
    this.tokens.hint("A completion's tokens stand here.");
    editor.registerCommand("inkling.accepted", (_, ...given: unknown[]) => {
      this.client?.execute("inkling.accepted", ...given).catch(refused);
    });
    languages.registerInlineCompletionsProvider("*", {
      debounceDelayMs: DEBOUNCE_MS,
      onDidChangeInlineCompletions: this.again.event,
      provideInlineCompletions: async (model, position, context, token) => {
        const stop = new AbortController();
        token.onCancellationRequested(() => stop.abort());
        const isInvoked = context.triggerKind === languages.InlineCompletionTriggerKind.Explicit;
        const place = placeOf(position);
        const items = await this.completed(
          (client) => client.complete(model, position, isInvoked, stop.signal),
          { uri: model.uri.toString(), place },
        );
        return { items: items.map(shownItem) };
      },
      disposeInlineCompletions: () => undefined,
    });
    this.listenToKeys();
    this.showSample();
    this.connect();
  }

  private fillChoices(): void {
    const language = byId<HTMLSelectElement>("language");
    language.append(...SAMPLES.map(({ id, name }) => html("option", { value: id }, name)));
    language.addEventListener("change", () => this.showSample());
    const model = byId<HTMLSelectElement>("model");
    model.append(...this.session.models.map((name) => html("option", { value: name }, name)));
    model.addEventListener("change", () => this.connect());
    const level = byId<HTMLSelectElement>("level");
    level.addEventListener("change", () => {
      this.client?.execute("inkling.setLevel", level.value).catch(refused);
    });
  }

  private listenToKeys(): void {
    document.addEventListener("keydown", (event) => {
      if (event.key === "F6") {
        event.preventDefault();
        if (this.code.hasTextFocus()) {
          const token = document.querySelector<HTMLElement>('#tokens button[tabindex="0"]');
          (token ?? byId("panel")).focus();
        } else {
          this.code.focus();
        }
      }
    });
  }

  private showSample(): void {
    const chosen = byId<HTMLSelectElement>("language").value;
    const sample = SAMPLES.find(({ id }) => id === chosen);
    if (sample !== undefined) {
      this.client?.open(showSample(this.code, sample));
      if (this.client === null) {
        showSample(this.code, sample);
      }
      this.code.focus();
    }
  }

  /** Begins a session with the chosen model, in the place of the one there is. */
  private connect(): void {
    this.client?.close();
    this.client = null;
    showStatus({ state: "loading", model: "", message: "connecting" });
    const name = byId<HTMLSelectElement>("model").value;
    const rpc = new Rpc(socketFor(this.session, name), () => {
      if (this.client === client) {
        this.client = null;
        showStatus({ state: "closed", model: "", message: "gone" });
        notice(GONE);
      }
    });
    const client = new Client(rpc);
    this.client = client;
    client
      .begin((status) => this.follow(status), notice)
      .then(
        () => this.begun(client),
        () => notice(GONE),
      );
  }

  private begun(client: Client): void {
    notice("");
    client.execute("inkling.setLevel", byId<HTMLSelectElement>("level").value).catch(refused);
    const model = this.code.getModel();
    if (model !== null) {
      client.open(model);
    }
  }

  private follow(status: Status): void {
    showStatus(status);
    if (status.state === "ready") {
      this.code.trigger("inkling", COMPLETES, {});
    }
  }

  /** Returns what the server has to say at a place; shows what became of it, and looks into it. */
  private async completed(
    ask: (client: Client) => Promise<readonly Item[]>,
    at: { readonly uri: string; readonly place: Place },
  ): Promise<readonly Item[]> {
    const client = this.client;
    if (client === null) {
      return [];
    }
    try {
      const items = await ask(client);
      this.explain(client, items[0], at).catch(refused);
      return items;
    } catch (error) {
      refused(error);
      return [];
    }
  }

  private async explain(
    client: Client,
    item: Item | undefined,
    { uri, place }: { readonly uri: string; readonly place: Place },
  ): Promise<void> {
    this.looking += 1;
    const look = this.looking;
    const explanation = await client.explainLast();
    if (explanation === null || look !== this.looking) {
      return;
    }
    showAnswer(explanation);
    showTime(explanation);
    if (item === undefined) {
      this.experts.hide();
      this.tokens.hint("Nothing was shown.");
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_AFTER_MS));
    if (look !== this.looking) {
      return; // it was typed on
    }
    const found = await client.look(uri, place, item.insertText);
    if (look === this.looking) {
      this.experts.show(found);
      this.tokens.show(found, (explanation.origin || "model") as Origin);
    }
  }
}

function shownItem({
  insertText,
  range: { start, end },
  command,
}: Item): languages.InlineCompletion {
  const range = {
    startLineNumber: start.line + 1,
    startColumn: start.character + 1,
    endLineNumber: end.line + 1,
    endColumn: end.character + 1,
  };
  if (command === undefined) {
    return { insertText, range };
  }
  const accepted = { id: command.command, title: "Accepted", arguments: [...command.arguments] };
  return { insertText, range, command: accepted };
}

function showStatus({ state, message }: Status): void {
  const shown = byId("status");
  shown.dataset.state = state;
  shown.textContent = message;
}

function notice(message: string): void {
  const shown = byId("notice");
  shown.hidden = message === "";
  shown.textContent = message;
}

/** What the server refuses is shown in the panel or by the next answer; all else is a fault. */
function refused(error: unknown): void {
  if (!(error instanceof RefusedError)) {
    throw error;
  }
}

const session = await enter();
if (session === null) {
  showStatus({ state: "failed", model: "", message: "not let in" });
  notice(NO_KEY);
} else {
  new Playground(session);
}
