// Bundle the page into dist/, each file compressed as it is sent; the names are the addresses.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const MAX_BYTES = 1_500_000;
const SHARED = {
  bundle: true,
  minify: true,
  target: "es2022",
  outdir: "dist",
  legalComments: "none",
};

await rm("dist", { recursive: true, force: true });
await mkdir("dist");
await build({
  ...SHARED,
  entryPoints: ["src/main.ts"],
  format: "esm",
  loader: { ".ttf": "file" },
  assetNames: "[name]",
  publicPath: "/",
});
await build({
  ...SHARED,
  entryPoints: { worker: "monaco-editor/editor/editor.worker.js" },
  format: "iife",
});
for (const name of ["index.html", "icon.svg"]) {
  await writeFile(`dist/${name}`, await readFile(`src/${name}`));
}

let total = 0;
for (const name of await readdir("dist")) {
  const packed = gzipSync(await readFile(`dist/${name}`), { level: constants.Z_BEST_COMPRESSION });
  await writeFile(`dist/${name}.gz`, packed);
  await rm(`dist/${name}`);
  total += packed.length;
}
process.stdout.write(`dist: ${total} bytes\n`);
if (total > MAX_BYTES) {
  throw new Error(`the page has ${total} bytes, more than ${MAX_BYTES}`);
}
