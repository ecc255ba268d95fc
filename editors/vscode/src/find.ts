/** Find the program `inkling` where people install it. A workspace has no say in that. */

import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";

export interface Surroundings {
  env: Record<string, string | undefined>;
  home: string;
  isWindows: boolean;
}

export const HERE: Surroundings = {
  env: process.env,
  home: homedir(),
  isWindows: process.platform === "win32",
};

/** Return the program with the arguments that come first; undefined where there is none. */
export function findCommand(named: readonly string[], here = HERE): string[] | undefined {
  const [name, ...rest] = named;
  if (name !== undefined) {
    const program = path.isAbsolute(name) ? runnable(name) : onPath(name, here);
    return program === undefined ? undefined : [program, ...rest];
  }
  const file = here.isWindows ? "inkling.exe" : "inkling";
  for (const folder of folders(here)) {
    const program = runnable(path.join(folder, file));
    if (program !== undefined) {
      return [program];
    }
  }
  const program = onPath("inkling", here);
  return program === undefined ? undefined : [program];
}

/** Return the one command that installs it here. */
export function installCommand(here = HERE): string {
  if (onPath("uv", here) !== undefined) {
    return "uv tool install inkling-lsp";
  }
  if (onPath("pipx", here) !== undefined) {
    return "pipx install inkling-lsp";
  }
  return "python3 -m pip install --user inkling-lsp";
}

/** The active virtual environment, then where uv and pipx put programs. */
function folders({ env, home, isWindows }: Surroundings): string[] {
  const active = env.VIRTUAL_ENV && path.join(env.VIRTUAL_ENV, isWindows ? "Scripts" : "bin");
  const places = [
    active,
    env.UV_TOOL_BIN_DIR || env.XDG_BIN_HOME,
    env.PIPX_BIN_DIR,
    path.join(home, ".local", "bin"),
  ];
  return places.filter((place) => place !== undefined && path.isAbsolute(place)) as string[];
}

/** A relative folder on PATH would be one of the workspace's, so none counts. */
function onPath(name: string, { env, isWindows }: Surroundings): string | undefined {
  if (name !== path.basename(name)) {
    return undefined;
  }
  const file = isWindows && !name.endsWith(".exe") ? `${name}.exe` : name;
  const all = (env.PATH ?? env.Path ?? "").split(path.delimiter).filter(path.isAbsolute);
  return all.map((folder) => runnable(path.join(folder, file))).find(Boolean);
}

function runnable(file: string): string | undefined {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile() ? file : undefined;
  } catch {
    return undefined;
  }
}
