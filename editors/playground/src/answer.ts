/** What became of the last request, and where its time went. */

import { byId, html, percent } from "./dom";
import type { Explanation, Origin } from "./protocol";

export const SOURCES: Readonly<Record<Origin, string>> = {
  model: "the model",
  joined: "a draft that was under way",
  cache: "the cache, from an earlier answer",
};

/** The engine tells its stages when it is done; its first lines may be the answer before. */
const EARLY = "The first lines were the answer: the model was still writing.";

interface Stage {
  readonly name: string;
  readonly ms: number;
}

export function showAnswer(explanation: Explanation): void {
  const { outcome, sentence, tokens, probability } = explanation;
  const lines = [html("p", {}, capital(sentence))];
  const facts = [
    tokens.prompt ? `prompt ${tokens.prompt} tokens, ${tokens.reused} of them known` : "",
    tokens.generated ? `${tokens.generated} written` : "",
    outcome !== "shown" || probability === null // the sentence has it else
      ? ""
      : `acceptance estimated at ${percent(probability)}`,
  ].filter((fact) => fact !== "");
  if (facts.length > 0) {
    lines.push(html("p", { class: "hint" }, facts.join(" · ")));
  }
  byId("answer").replaceChildren(
    html("code", { class: "outcome", "data-shown": String(outcome === "shown") }, outcome),
    ...lines,
  );
}

export function showTime(explanation: Explanation): void {
  const stages = stagesOf(explanation);
  const bar = html("div", { class: "bar" });
  const legend = html("ul", { class: "legend" });
  for (const { name, ms } of stages) {
    const part = html("span", { "data-stage": name, title: `${name}: ${milliseconds(ms)}` });
    part.style.flexGrow = String(ms);
    bar.append(part);
    legend.append(html("li", { "data-stage": name }, `${name} `, html("b", {}, milliseconds(ms))));
  }
  const total = html("p", { class: "total" }, milliseconds(explanation.elapsed_ms));
  byId("time").replaceChildren(total, bar, legend);
  if (explanation.tokens.generated > 0 && !explanation.timings.total_ms) {
    byId("time").append(html("p", { class: "hint" }, EARLY));
  }
}

/** The engine's stages, and what else passed from request to answer. */
function stagesOf({ timings, elapsed_ms }: Explanation): readonly Stage[] {
  const named: readonly (readonly [string, string])[] = [
    ["wait", "queue_ms"],
    ["prompt", "prompt_ms"],
    ["read", "prefill_ms"],
    ["write", "decode_ms"],
  ];
  const stages = named.map(([name, key]) => ({ name, ms: timings[key] ?? 0 }));
  const rest = elapsed_ms - stages.reduce((sum, { ms }) => sum + ms, 0);
  // A draft's stages began before the request did, and may be longer than it.
  return [...stages, { name: "other", ms: Math.max(0, rest) }].filter(({ ms }) => ms >= 0.01);
}

function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function capital(sentence: string): string {
  return sentence.slice(0, 1).toUpperCase() + sentence.slice(1);
}
