/** What the server says, as far as this page reads it. */

export interface Place {
  readonly line: number;
  readonly character: number;
}

export interface Item {
  readonly insertText: string;
  readonly range: { readonly start: Place; readonly end: Place };
  readonly command?: { readonly command: string; readonly arguments: readonly unknown[] };
}

export interface Status {
  readonly state: "loading" | "ready" | "restarting" | "failed" | "closed";
  readonly model: string;
  readonly message: string;
}

/** `inkling.explainLast`: what became of the last request. Times are milliseconds. */
export interface Explanation {
  readonly outcome: string;
  readonly sentence: string;
  readonly origin: Origin | "";
  readonly model: string;
  readonly probability: number | null;
  readonly elapsed_ms: number;
  readonly timings: Readonly<Record<string, number>>;
  readonly tokens: { readonly prompt: number; readonly reused: number; readonly generated: number };
}

/** Who knew a text: the model wrote it, an earlier answer had it, or one that was under way. */
export type Origin = "model" | "cache" | "joined";

export interface Candidate {
  readonly text: string;
  readonly log_probability: number;
}

export interface SeenToken extends Candidate {
  readonly rank: number;
  readonly num_healed: number;
  readonly candidates: readonly Candidate[];
  /** For each layer that mixes experts those that read the token, the largest share first. */
  readonly experts: readonly (readonly { readonly expert: number; readonly share: number }[])[];
}

/** `inkling/look`: a completion as the model saw it. */
export interface Dissection {
  readonly tokens: readonly SeenToken[];
  readonly num_prompt: number;
  readonly num_experts: number;
  readonly elapsed_ms: number;
}
