import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { findCommand, installCommand } from "../src/find";
import { addable, installed, readRows } from "../src/rows";

const PLACES = ["VIRTUAL_ENV", "UV_TOOL_BIN_DIR", "PIPX_BIN_DIR", "HOME", "PATH"] as const;
const INSIDE: Partial<Record<(typeof PLACES)[number], string>> = {
  VIRTUAL_ENV: "bin",
  HOME: ".local/bin",
};

function program(file: string): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, "#!/bin/sh\n");
  chmodSync(file, 0o755);
  return file;
}

/** Return surroundings in which the places from `first` on have a program, and that of each. */
function surroundings(first: number) {
  const root = mkdtempSync(path.join(tmpdir(), "inkling-"));
  const folders = PLACES.map((place) => path.join(root, place));
  const files = PLACES.map((place, index) => {
    const file = path.join(folders[index] ?? "", INSIDE[place] ?? "", "inkling");
    return index >= first ? program(file) : file;
  });
  const env = Object.fromEntries(PLACES.map((place, index) => [place, folders[index]]));
  return { here: { env, home: folders[3] ?? "", isWindows: false }, files };
}

for (const [index, place] of PLACES.entries()) {
  test(`the program is found in ${place} where none before has it`, () => {
    const { here, files } = surroundings(index);
    assert.deepEqual(findCommand([], here), [files[index]]);
  });
}

test("nothing is found where there is nothing", () => {
  assert.equal(findCommand([], surroundings(PLACES.length).here), undefined);
});

test("what is named is run, from PATH too, and nothing else where it is missing", () => {
  const { here, files } = surroundings(0);
  const there = files[4] ?? "";
  assert.deepEqual(findCommand([there, "-x"], here), [there, "-x"]);
  assert.deepEqual(findCommand(["inkling"], here), [there]);
  for (const name of ["/nowhere/inkling", "./inkling", "bin/inkling", path.dirname(there)]) {
    assert.equal(findCommand([name], here), undefined);
  }
});

test("a folder of the workspace on PATH does not count", () => {
  const root = mkdtempSync(path.join(tmpdir(), "inkling-"));
  program(path.join(root, "inkling"));
  program(path.join(root, "bin", "inkling"));
  process.chdir(root);
  const env = {
    PATH: [".", "bin", ""].join(path.delimiter),
    VIRTUAL_ENV: ".",
    PIPX_BIN_DIR: "bin",
  };
  assert.equal(findCommand([], { env, home: "/nowhere", isWindows: false }), undefined);
});

test("the command that installs it is one that is here", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "inkling-"));
  const here = { env: { PATH: folder }, home: "/nowhere", isWindows: false };
  assert.match(installCommand(here), /pip install --user inkling-lsp$/);
  program(path.join(folder, "pipx"));
  assert.equal(installCommand(here), "pipx install inkling-lsp");
  program(path.join(folder, "uv"));
  assert.equal(installCommand(here), "uv tool install inkling-lsp");
});

test("rows that make no sense are left out", () => {
  assert.deepEqual(readRows("no JSON"), []);
  assert.deepEqual(readRows('{"name": "a"}'), []);
  const rows = readRows(
    '[3, null, {"name": "a", "state": "installed"}, {"name": "b", "state": "can be added; x"}]',
  );
  assert.deepEqual(
    installed(rows).map((row) => row.name),
    ["a"],
  );
  assert.deepEqual(
    addable(rows).map((row) => row.name),
    ["b"],
  );
});
