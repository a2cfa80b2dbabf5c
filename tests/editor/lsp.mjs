// What an editor offers: drives yaml-language-server over stdio with the schema that forge prints.
//
//     npm install yaml-language-server        (anywhere, not in the repository)
//     forge schema > schema.json
//     node tests/editor/lsp.mjs node_modules/yaml-language-server/bin/yaml-language-server schema.json
//
// Prints what it was asked and what it answered, one line each, and ends with 1 when an answer lacks what it must have.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [program, schema] = process.argv.slice(2).map((path) => resolve(path));
const directory = mkdtempSync(join(tmpdir(), "forge-editor-"));
const server = spawn(process.execPath, [program, "--stdio"], { cwd: directory });
server.stderr.pipe(process.stderr);
const header = `# yaml-language-server: $schema=${pathToFileURL(schema)}\n`;

const waiting = new Map();
const listeners = [];
let buffer = Buffer.alloc(0);
let next = 1;

function send(message) {
  const body = JSON.stringify({ jsonrpc: "2.0", ...message });
  server.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function request(method, params) {
  const id = next++;
  send({ id, method, params });
  return new Promise((done) => waiting.set(id, done));
}

server.stdout.on("data", (data) => {
  buffer = Buffer.concat([buffer, data]);
  for (;;) {
    const end = buffer.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, end).toString())[1]);
    if (buffer.length < end + 4 + length) return;
    const message = JSON.parse(buffer.subarray(end + 4, end + 4 + length).toString());
    buffer = buffer.subarray(end + 4 + length);
    if (message.method && message.id !== undefined) {
      // It asks for its configuration and the like.
      const empty = message.method === "workspace/configuration" ? message.params.items.map(() => ({})) : null;
      send({ id: message.id, result: empty });
    } else if (message.method) {
      listeners.forEach((listener) => listener(message));
    } else {
      waiting.get(message.id)?.(message.result);
    }
  }
});

let files = 0;
// Opens a document; `|` in it is where the cursor stands.
function open(marked) {
  const text = header + marked.replace("|", "");
  const before = header + marked.slice(0, Math.max(marked.indexOf("|"), 0));
  const lines = before.split("\n");
  const uri = pathToFileURL(join(directory, `${files++}.yaml`)).href;
  const diagnostics = new Promise((done) => {
    listeners.push((message) => {
      if (message.method === "textDocument/publishDiagnostics" && message.params.uri === uri) done(message.params.diagnostics);
    });
  });
  send({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "yaml", version: 1, text } } });
  const position = { line: lines.length - 1, character: lines.at(-1).length };
  return { at: { textDocument: { uri }, position }, diagnostics };
}

let failed = 0;
function judge(what, answer, wanted) {
  const missing = wanted.filter((word) => !answer.some((line) => line.includes(word)));
  console.log(`${missing.length ? "FAIL" : "ok  "} ${what}: ${answer.join(", ") || "(nothing)"}${missing.length ? `; lacks ${missing}` : ""}`);
  failed += missing.length ? 1 : 0;
}

async function completion(what, text, wanted) {
  const found = await request("textDocument/completion", open(text).at);
  judge(`completion of ${what}`, [...new Set((found?.items ?? found ?? []).map((item) => item.label))].sort(), wanted);
}

async function hover(what, text, wanted) {
  const found = await request("textDocument/hover", open(text).at);
  judge(`hover of ${what}`, [String(found?.contents?.value ?? "").replace(/\s+/g, " ").trim()], wanted);
}

async function diagnosis(what, text, wanted) {
  const found = await open(text).diagnostics;
  const lines = found.map(({ range, message }) => `${range.start.line}:${range.start.character} ${message.replace(/\s+/g, " ")}`);
  judge(`diagnostics of ${what}`, lines, wanted);
}

await request("initialize", { processId: process.pid, rootUri: pathToFileURL(directory).href, capabilities: { textDocument: { completion: { completionItem: { documentationFormat: ["markdown"] } }, hover: { contentFormat: ["markdown"] } } } });
send({ method: "initialized", params: {} });

const top = "forge: v1\nname: a\ntarget: local\n";
await completion("top-level keys", `${top}|`, ["modules", "jobs", "vars", "tags"]);
await completion("use:", `${top}modules:\n  gpus:\n    use: |\n`, ["gpu-nodes", "vpc", "fsx-lustre"]);
await completion("the keys of a use", `${top}modules:\n  gpus:\n    use: gpu-nodes\n    |\n`, ["with", "for_each", "depends_on"]);
await completion("gpu-nodes' with", `${top}modules:\n  gpus:\n    use: gpu-nodes\n    with:\n      |\n`, ["instance_type", "count", "spares"]);
await completion("vpc's with", `${top}modules:\n  network:\n    use: vpc\n    with:\n      |\n`, ["cidr", "zones"]);
await completion("target:", "forge: v1\nname: a\ntarget: |\n", ["aws", "hosts", "local"]);
await completion("a job's keys", `${top}jobs:\n  train:\n    |\n`, ["command", "checkpoint", "hang_after"]);
await hover("an input", `${top}modules:\n  network:\n    use: vpc\n    with:\n      zo|nes: 2\n`, ["availability zones"]);
await hover("a key of a job", `${top}jobs:\n  train:\n    hang_af|ter: 5m\n`, ["no worker may finish a step"]);
await hover("use", `${top}modules:\n  network:\n    u|se: vpc\n`, ["built-in"]);
await diagnosis("a wrong target", "forge: v1\nname: a\ntarget: cloud\n", ["3:8"]);
await diagnosis("a wrong module", `${top}modules:\n  network: { use: vcp }\n`, ["5:18"]);
await diagnosis("an input out of range", `${top}modules:\n  network: { use: vpc, with: { zones: 99 } }\n`, ["5:38"]);
await diagnosis("an unknown input", `${top}modules:\n  network: { use: vpc, with: { zone: 2 } }\n`, ["zone"]);
await diagnosis("an expression in place of a number", `${top}modules:\n  network: { use: vpc, with: { zones: "\${vars.zones}" } }\n`, []);

await request("shutdown", null);
send({ method: "exit" });
rmSync(directory, { recursive: true });
console.log(failed ? `${failed} failed` : "all as they must be");
process.exitCode = failed ? 1 : 0;
