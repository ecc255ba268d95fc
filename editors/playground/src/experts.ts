/** Which experts of a mixture read a token: a row for each layer, a column for each expert. */

import { byId, html, percent, svg } from "./dom";
import type { Dissection, SeenToken } from "./protocol";

const WIDTH = 352;
const LABELS = 22;
const MAX_CELL = 20;
const MAX_NAMED = 16;

export class ExpertsView {
  private dissection: Dissection | null = null;
  private index = 0;
  private readonly all = html("input", { type: "checkbox", id: "all-tokens" }) as HTMLInputElement;

  constructor() {
    this.all.addEventListener("change", () => this.draw());
  }

  show(dissection: Dissection): void {
    this.dissection = dissection;
    byId("experts-section").hidden = dissection.num_experts === 0;
  }

  hide(): void {
    this.dissection = null;
    byId("experts-section").hidden = true;
  }

  choose(index: number): void {
    this.index = index;
    this.draw();
  }

  private draw(): void {
    const found = this.dissection;
    const token = found?.tokens[this.index];
    if (!found || !token || found.num_experts === 0) {
      return;
    }
    const shares = sharesOf(this.all.checked ? found.tokens : [token]);
    const label = html("label", {}, this.all, " all tokens together");
    const layers = `${shares.length} layers of ${found.num_experts} experts`;
    const chosen = token.experts[0]?.length ?? 0;
    byId("experts").replaceChildren(
      grid(shares, found.num_experts),
      html("p", { class: "hint" }, `${layers}, ${chosen} read each token. `, label),
    );
  }
}

/** For each layer the mean share of each expert that was chosen. */
function sharesOf(tokens: readonly SeenToken[]): readonly ReadonlyMap<number, number>[] {
  const layers: Map<number, number>[] = [];
  for (const token of tokens) {
    for (const [layer, experts] of token.experts.entries()) {
      const shares = layers[layer] ?? new Map<number, number>();
      layers[layer] = shares;
      for (const { expert, share } of experts) {
        shares.set(expert, (shares.get(expert) ?? 0) + share / tokens.length);
      }
    }
  }
  return layers;
}

function grid(layers: readonly ReadonlyMap<number, number>[], numExperts: number): SVGElement {
  const width = (WIDTH - LABELS) / numExperts;
  const height = Math.min(width, MAX_CELL, Math.max(4, 400 / layers.length));
  const top = numExperts <= MAX_NAMED ? 14 : 0;
  const picture = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${top + height * layers.length}`,
    role: "img",
    "aria-label": described(layers),
  });
  for (let expert = 0; top > 0 && expert < numExperts; expert += 1) {
    picture.append(svg("text", { x: LABELS + width * (expert + 0.5), y: 9 }, String(expert)));
  }
  for (const [layer, shares] of layers.entries()) {
    const y = top + height * layer;
    if (height >= 10) {
      picture.append(svg("text", { x: LABELS / 2, y: y + height / 2 + 3 }, String(layer)));
    }
    const row = { x: LABELS, y, width: WIDTH - LABELS, height: height - 1, class: "row" };
    picture.append(svg("rect", row));
    for (const [expert, share] of shares) {
      const cell = {
        x: LABELS + width * expert,
        y,
        width: Math.max(1, width - 1),
        height: height - 1,
        "fill-opacity": 0.15 + 0.85 * share,
      };
      const title = `layer ${layer}, expert ${expert}: ${percent(share)}`;
      picture.append(svg("rect", cell, svg("title", {}, title)));
    }
  }
  return picture;
}

function described(layers: readonly ReadonlyMap<number, number>[]): string {
  const rows = layers.map((shares, layer) => {
    const parts = [...shares].map(([expert, share]) => `${expert} at ${percent(share)}`);
    return `layer ${layer}: ${parts.join(", ")}`;
  });
  return `Experts by layer. ${rows.join("; ")}`;
}
