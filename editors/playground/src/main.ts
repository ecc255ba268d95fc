/** The page: an editor, a session with a server, and a panel of what the model saw. */

import "./style.css";
import "./panel.css";
import { editor, languages, type Position } from "monaco-editor/editor";
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
const GONE = "The server has gone. Load this page again, or start `inkling playground` anew.";

interface ShownItem extends languages.InlineCompletion {
  readonly insertText: string;
}

interface Answer extends languages.InlineCompletions<ShownItem> {
  readonly uri: string;
  readonly place: Place;
  readonly origin: Promise<Origin>;
}

class Playground {
  private client: Client | null = null;
  private looked = "";
  private looking = new AbortController();
  private provided: { dispose(): void } | null = null;
  private readonly code = createEditor(byId("editor"));
  private readonly experts = new ExpertsView();
  private readonly tokens = new TokensView((index) => this.experts.choose(index));

  constructor(private readonly session: Session) {
    this.fillChoices();
    this.tokens.hint("A completion's tokens stand here.");
    editor.registerCommand("inkling.accepted", (_, ...given: unknown[]) => {
      this.client?.execute("inkling.accepted", ...given).catch(refused);
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

  /** What Monaco asks: a new one for each model, as it remembers what a known one answered. */
  private provider(): languages.InlineCompletionsProvider<Answer> {
    return {
      debounceDelayMs: DEBOUNCE_MS,
      provideInlineCompletions: (model, position, context, token) => {
        const stop = new AbortController();
        token.onCancellationRequested(() => stop.abort());
        const isInvoked = context.triggerKind === languages.InlineCompletionTriggerKind.Explicit;
        return this.complete(model, position, isInvoked, stop.signal);
      },
      handleItemDidShow: (answer, item) => this.look(answer, item.insertText).catch(refused),
      disposeInlineCompletions: () => undefined,
    };
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
      const model = showSample(this.code, sample);
      this.client?.open(model);
      this.code.focus();
      this.ask();
    }
  }

  /** Has the editor ask at the cursor, as its key does. */
  private ask(): void {
    this.looked = "";
    this.code.trigger("inkling", COMPLETES, {});
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
    this.provided?.dispose();
    this.provided = null;
    if (status.state === "ready") {
      this.provided = languages.registerInlineCompletionsProvider("*", this.provider());
      this.ask();
    }
  }

  /** Returns what the server has to say at a place; then shows what became of it. */
  private async complete(
    model: editor.ITextModel,
    position: Position,
    isInvoked: boolean,
    signal: AbortSignal,
  ): Promise<Answer> {
    const client = this.client;
    const at = { uri: model.uri.toString(), place: placeOf(position) };
    try {
      const found = (await client?.complete(model, position, isInvoked, signal)) ?? [];
      const answer = { ...at, items: found.map(shownItem), origin: this.explain(client) };
      this.look(answer, answer.items[0]?.insertText).catch(refused);
      return answer;
    } catch (error) {
      refused(error);
      return { ...at, items: [], origin: Promise.resolve("model") };
    }
  }

  /** Shows what became of the last request; returns who knew its text. */
  private async explain(client: Client | null): Promise<Origin> {
    const explanation = await client?.explainLast().catch(refused);
    if (!explanation) {
      return "model";
    }
    showAnswer(explanation);
    showTime(explanation);
    return explanation.origin || "model";
  }

  /** Shows the tokens of an answer's text once nobody types; the newest look counts. */
  private async look({ uri, place, origin }: Answer, text: string | undefined): Promise<void> {
    const wanted = JSON.stringify([uri, place, text]);
    if (wanted === this.looked) {
      return;
    }
    this.looked = wanted;
    this.looking.abort();
    this.looking = new AbortController();
    const { signal } = this.looking;
    if (text === undefined) {
      this.experts.hide();
      this.tokens.hint("Nothing is shown.");
      return;
    }
    this.tokens.wait();
    await new Promise((resolve) => setTimeout(resolve, LOOK_AFTER_MS));
    if (signal.aborted) {
      return;
    }
    try {
      const found = await this.client?.look(uri, place, text, signal);
      if (found !== undefined && !signal.aborted) {
        this.experts.show(found);
        this.tokens.show(found, await origin);
      }
    } catch (error) {
      refused(error);
      if (!signal.aborted) {
        this.experts.hide();
        this.tokens.hint(`No look: ${(error as RefusedError).message}.`);
      }
    }
  }
}

function shownItem({ insertText, range: { start, end }, command }: Item): ShownItem {
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
  shown.title = message;
  shown.dataset.state = state;
  shown.textContent = message;
}

function notice(message: string): void {
  const shown = byId("notice");
  shown.hidden = message === "";
  shown.textContent = message;
}

/** Goes on where the server refuses or what was asked is cancelled; all else is a fault. */
function refused(error: unknown): void {
  if (!(error instanceof RefusedError)) {
    throw error;
  }
}

// Monaco leaves promises behind that it has cancelled itself; nobody needs to hear of those.
addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Error && event.reason.name === "Canceled") {
    event.preventDefault();
  }
});

const session = await enter();
if (session === null) {
  showStatus({ state: "failed", model: "", message: "not let in" });
  notice(NO_KEY);
} else {
  new Playground(session);
}
