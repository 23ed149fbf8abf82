import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import { cpuToPprof } from "@cinderblock/self-profiling";
import type { ThreadProfile } from "@cinderblock/threads";
import { formatBytes, type CommandContext, progressBar } from "./context.ts";
import { requestServer } from "./server.ts";

/** Time range of text without timestamps: the ten seconds before now, an agent's usual interval. */
const TEXT_MS = 10_000;
/** First bytes of a JFR recording. */
const JFR_MAGIC = "FLR\0";

interface Body {
  /** value of the `format` parameter of /ingest; "" for the default, folded text */
  format: string;
  body: Uint8Array;
  fromMs: number;
  untilMs: number;
  /** name of the format for the output: "pprof", "V8 CPU profile", … */
  kind: string;
}

/** A `.cpuprofile` from V8: `node --cpu-prof`, Chrome DevTools. Times in microseconds. */
type CpuProfile = NonNullable<ThreadProfile["cpu"]> & { startTime: number; endTime: number };

function isCpuProfile(value: unknown): value is CpuProfile {
  const p = value as Partial<CpuProfile> | null;
  return (
    typeof p === "object" &&
    p !== null &&
    Array.isArray(p.nodes) &&
    Array.isArray(p.samples) &&
    Array.isArray(p.timeDeltas)
  );
}

/** Converts `file:///app/shop.js` to a path; other URLs stay. */
function sourcePath(url: string): string {
  return url.startsWith("file://") ? fileURLToPath(url) : url;
}

function fromJson(file: string, raw: Uint8Array, nowMs: number): Body {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(raw).toString());
  } catch (err) {
    throw new CinderblockError(
      "invalid",
      `${file} starts like JSON but is not valid JSON: ${(err as Error).message}`,
      {
        cause: err,
      },
    );
  }
  if (isCpuProfile(value)) {
    const durationMs = Math.max(1, Math.round((value.endTime - value.startTime) / 1000)),
      fromMs = nowMs - durationMs,
      intervalUs = Math.max(1, Math.round((durationMs * 1000) / Math.max(1, value.samples.length)));
    const body = cpuToPprof([{ thread: "main", cpu: value }], intervalUs, fromMs, durationMs, (f) => ({
      file: sourcePath(f.url),
      line: f.lineNumber + 1,
    }));
    return { format: "pprof", body, fromMs, untilMs: nowMs, kind: "V8 CPU profile" };
  }
  if (typeof (value as { $schema?: unknown }).$schema === "string")
    return { format: "speedscope", body: raw, fromMs: nowMs - TEXT_MS, untilMs: nowMs, kind: "speedscope" };
  throw invalidError(
    `${file} is JSON but neither a V8 CPU profile (nodes, samples, timeDeltas) nor speedscope ($schema)`,
  );
}

/** Reads a profile file and detects its format. @throws `invalid` for an unknown format */
function bodyOf(file: string, nowMs: number): Body {
  let raw: Uint8Array;
  try {
    raw = readFileSync(file);
  } catch (err) {
    throw new CinderblockError("not-found", `${file}: ${(err as Error).message}`, { cause: err });
  }
  if (raw.length === 0) throw invalidError(`${file} is empty`);
  const whole = { fromMs: nowMs - TEXT_MS, untilMs: nowMs };
  const gzip = raw[0] === 0x1f && raw[1] === 0x8b;
  const plain = gzip ? gunzipSync(raw) : raw;
  if (Buffer.from(plain.subarray(0, 4)).toString("latin1") === JFR_MAGIC)
    return { format: "jfr", body: raw, ...whole, kind: "JFR" };
  const first = Buffer.from(plain.subarray(0, 64)).toString("latin1").trimStart();
  if (first.startsWith("{")) return fromJson(file, plain, nowMs);
  // A pprof is a protobuf message: its first byte is a field tag, below the printable characters.
  if (gzip || plain[0]! < 0x20) return { format: "pprof", body: raw, ...whole, kind: "pprof" };
  return { format: "", body: raw, ...whole, kind: "folded stacks" };
}

/** Series name for a file without `-name`: the file's name up to its first dot. */
function nameOf(file: string): string {
  return basename(file).split(".")[0] || "profile";
}

/** Sends profile files to the server at `-url`, like an agent: one request for each file. */
export async function pushProfiles(c: CommandContext): Promise<number> {
  const { config } = c;
  if (c.args.length === 0)
    throw invalidError(
      "name profile files: push -name='shop{env=prod}' cpu.pb.gz (also .cpuprofile, JFR, text)",
    );
  const bar = progressBar(c, "files");
  for (const [i, file] of c.args.entries()) {
    const sent = bodyOf(file, c.base.now()),
      name = config.name === "" ? nameOf(file) : config.name;
    const query = new URLSearchParams({
      name,
      from: String(Math.floor(sent.fromMs)),
      until: String(Math.floor(sent.untilMs)),
    });
    if (sent.format !== "") query.set("format", sent.format);
    const response = await requestServer(c, `/ingest?${query}`, {
      method: "POST",
      headers: { "content-type": "application/octet-stream" },
      body: new Uint8Array(sent.body),
    });
    if (!response.ok)
      throw invalidError(
        `${file}: ${config.url} refused the push with status ${response.status}: ${(await response.text()).trim().slice(0, 500)}`,
      );
    bar(i + 1, c.args.length);
    const service = name.split("{")[0]!;
    c.out.write(`pushed ${file} (${sent.kind}, ${formatBytes(sent.body.length)}) as ${name}\n`);
    if (i === c.args.length - 1)
      c.out.write(
        `see the flame graph: ${config.url.replace(/\/$/, "")}/explore?${new URLSearchParams({ s: `{service_name="${service}"}` }).toString()}\n`,
      );
  }
  return 0;
}
