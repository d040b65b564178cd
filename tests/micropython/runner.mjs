// Run one Python file inside MicroPython, in a file system that holds nothing but the files given.
//
//     node runner.mjs MICROPYTHON_MJS PROGRAM [PLACE=FILE…] [-- ARGUMENT…]
//
// Each real FILE is copied to the absolute PLACE; PROGRAM is one of the places. A module that is
// not given does not exist, so an import of it fails as it would on a router. Output and exit
// status are those of the program: 0, what sys.exit said, or 1 after a traceback on stderr.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const HEAP = 16 * 1024 * 1024; // a router that can spare more runs CPython

const [interpreter, program, ...rest] = process.argv.slice(2);
const end = rest.includes("--") ? rest.indexOf("--") : rest.length;

// Written when the program has ended: a write for each character would take longer than the tests.
const written = { 1: [], 2: [] };
const keep = (stream) => (bytes) => written[stream].push(...bytes);

function flush() {
  for (const stream of [1, 2]) {
    const data = Buffer.from(written[stream]);
    for (let done = 0; done < data.length; ) {
      done += fs.writeSync(stream, data, done);
    }
  }
}

const { loadMicroPython } = await import(pathToFileURL(interpreter));
const python = await loadMicroPython({
  heapsize: HEAP,
  linebuffer: false,
  stdout: keep(1),
  stderr: keep(2),
});

for (const pair of rest.slice(0, end)) {
  const [place, file] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
  python.FS.mkdirTree(path.posix.dirname(place));
  python.FS.writeFile(place, fs.readFileSync(file));
}

// JSON strings without escapes of their own kind are Python strings.
const words = [program, ...rest.slice(end + 1)];
let status = 0;
try {
  python.runPython(`import sys\nsys.argv[:] = ${JSON.stringify(words)}\nexecfile(sys.argv[0])\n`);
} catch (problem) {
  const exit = problem.type === "SystemExit" && /SystemExit: ?([^\n]*)\n$/.exec(problem.message);
  const code = exit ? exit[1] : "traceback";
  status = code === "" || code === "None" ? 0 : /^\d+$/.test(code) ? Number(code) & 255 : 1;
  if (status && !/^\d+$/.test(code)) {
    keep(2)(new TextEncoder().encode(exit ? code + "\n" : problem.message));
  }
}
flush();
process.exitCode = status;
