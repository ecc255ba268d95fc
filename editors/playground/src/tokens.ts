/** The tokens of the last completion: how likely each was, what else, and where it came from. */

import { SOURCES } from "./answer";
import { byId, html, percent, visible } from "./dom";
import type { Dissection, Origin, SeenToken } from "./protocol";

/** The logarithm from which on all is equally unlikely: one in fifty. */
const LEAST = Math.log(0.02);

type Source = Origin | "healing";

const NAMES: Readonly<Record<Source, string>> = {
  model: "model",
  joined: "draft",
  cache: "cache",
  healing: "healing",
};

export class TokensView {
  private buttons: HTMLElement[] = [];
  private dissection: Dissection | null = null;
  private origin: Origin = "model";

  /** `chosen` is told which token somebody looks at. */
  constructor(private readonly chosen: (index: number) => void) {}

  hint(text: string): void {
    this.buttons = [];
    byId("tokens").ariaBusy = "false";
    byId("tokens").replaceChildren(html("p", { class: "hint" }, text));
  }

  /** What stands there is of an earlier completion; the model is reading the newest. */
  wait(): void {
    if (this.buttons.length === 0) {
      this.hint("The model reads it again.");
    }
    byId("tokens").ariaBusy = "true";
  }

  show(dissection: Dissection, origin: Origin): void {
    byId("tokens").ariaBusy = "false";
    this.dissection = dissection;
    this.origin = origin;
    this.buttons = dissection.tokens.map((token, index) => this.button(token, index));
    const list = html("div", { class: "tokens", role: "group", "aria-label": "Tokens" });
    list.append(...this.buttons);
    const note = `Read again behind ${dissection.num_prompt} tokens, as the tokenizer cuts it.`;
    byId("tokens").replaceChildren(
      list,
      html("div", { id: "token" }),
      legend(new Set(dissection.tokens.map((token) => this.sourceOf(token)))),
      html("p", { class: "hint" }, note),
    );
    this.choose(0);
  }

  private button(token: SeenToken, index: number): HTMLElement {
    const { text, num_healed, log_probability } = token;
    const label = `${visible(text)}, ${percent(Math.exp(log_probability))}`;
    const made = html(
      "button",
      {
        type: "button",
        tabindex: -1,
        "data-source": this.sourceOf(token),
        "aria-label": label,
        title: `${label}, ln ${log_probability.toFixed(2)}, ${NAMES[this.sourceOf(token)]}`,
      },
      html("i", {}, visible(text.slice(0, num_healed))),
      visible(text.slice(num_healed)),
    );
    made.style.setProperty("--sure", `${Math.round(100 * sureness(log_probability))}%`);
    made.addEventListener("pointerenter", () => this.choose(index));
    made.addEventListener("focus", () => this.choose(index));
    made.addEventListener("keydown", (event) => this.move(event, index));
    return made;
  }

  /** Arrows go from token to token; the Tab key sees one of them. */
  private move(event: KeyboardEvent, index: number): void {
    const steps: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowLeft: -1 };
    const next = this.buttons[index + (steps[event.key] ?? 0)];
    if (event.key in steps && next !== undefined) {
      event.preventDefault();
      next.focus();
    }
  }

  private choose(index: number): void {
    const token = this.dissection?.tokens[index];
    for (const [at, button] of this.buttons.entries()) {
      button.setAttribute("aria-pressed", String(at === index));
      button.tabIndex = at === index ? 0 : -1;
    }
    if (token !== undefined) {
      byId("token").replaceChildren(...this.details(token));
      this.chosen(index);
    }
  }

  private details(token: SeenToken): readonly HTMLElement[] {
    const source = this.sourceOf(token);
    const healed = `healing: “${visible(token.text.slice(0, token.num_healed))}” stood there already`;
    const facts = [
      `ln ${token.log_probability.toFixed(2)}`,
      token.rank === 1 ? "the likeliest" : `number ${token.rank} by likelihood`,
      source === "healing" ? healed : `from ${SOURCES[source]}`,
    ];
    const rows = token.candidates.map(({ text, log_probability }) => {
      const share = Math.exp(log_probability);
      const bar = html("span", { class: "share" });
      bar.style.setProperty("--share", `${100 * share}%`);
      const attributes: Record<string, string> = text === token.text ? { class: "taken" } : {};
      return html("li", attributes, html("code", {}, visible(text)), bar, percent(share));
    });
    const list = html("ol", { class: "candidates", "aria-label": "The likeliest tokens here" });
    list.append(...rows);
    return [html("p", {}, facts.join(" · ")), list];
  }

  /** Healing is how the model begins; what was known before is shown as it was. */
  private sourceOf(token: SeenToken): Source {
    return this.origin === "model" && token.num_healed > 0 ? "healing" : this.origin;
  }
}

/** 1 for what was certain, 0 for all that is less likely than LEAST. */
function sureness(logProbability: number): number {
  return Math.max(0, 1 - logProbability / LEAST);
}

function legend(sources: ReadonlySet<Source>): HTMLElement {
  const scale = html("span", { class: "scale", role: "img", "aria-label": "How likely" });
  const marks = [1, 0.3, 0.1, 0.02].map((share) => {
    const mark = html("span", {}, `${share === 0.02 ? "≤ " : ""}${percent(share)}`);
    mark.style.setProperty("--at", `${100 * (1 - sureness(Math.log(share)))}%`);
    return mark;
  });
  scale.append(...marks);
  const names = [...sources].map((source) =>
    html("span", { "data-source": source }, NAMES[source]),
  );
  return html("p", { class: "key" }, scale, ...names);
}
