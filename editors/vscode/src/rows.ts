/** Read what `inkling model list --json` prints. */

export interface ModelRow {
  mark: string;
  name: string;
  parameters: string;
  memory: string;
  licence: string;
  state: string;
}

/** Return the rows; what is none is left out. */
export function readRows(json: string): ModelRow[] {
  try {
    const rows: unknown = JSON.parse(json);
    return Array.isArray(rows) ? rows.filter(isRow) : [];
  } catch {
    return [];
  }
}

export function addable(rows: ModelRow[]): ModelRow[] {
  return rows.filter((row) => row.state.includes("can be added"));
}

export function installed(rows: ModelRow[]): ModelRow[] {
  return rows.filter((row) => row.state === "installed");
}

function isRow(row: unknown): row is ModelRow {
  const named = row as Partial<ModelRow> | null;
  return typeof named?.name === "string" && typeof named.state === "string";
}
