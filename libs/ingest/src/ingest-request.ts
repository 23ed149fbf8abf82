import { CinderblockError } from "@cinderblock/errors";

/** Parameters of an /ingest request besides its body; `app` is the name before the brace. */
export interface IngestRequest {
  app: string;
  tags: { name: string; value: string }[];
  format: "pprof" | "multipart" | "groups" | "lines" | "trie" | "tree" | "speedscope" | "jfr";
  /** for multipart bodies, and for JFR in a form; "" otherwise */
  boundary: string;
  spyName: string;
  sampleRate: number;
  fromNanos: bigint;
  /** `until` - `from`, at least 0 */
  durationNanos: bigint;
}

/** Settings of one sample type in the `sample_type_config` of a form. */
export interface SampleTypeConfig {
  units?: string;
  "display-name"?: string;
  aggregation?: string;
  cumulative?: boolean;
  sampled?: boolean;
}
/** Parts of a multipart form of `/ingest` with a pprof profile. */
export interface PprofForm {
  profile: Uint8Array | undefined;
  sampleTypes: ReadonlyMap<string, SampleTypeConfig> | undefined;
}

function failed(what: string): never {
  throw new CinderblockError(
    "unknown",
    `parsing IngestInput-pprof failed failed to parse pprof /ingest multipart form ${what}`,
    { reason: "malformed_profile" },
  );
}

/** Parts of a multipart/form-data body by name, with line ends of CR LF or LF. Part bodies are views of `body`. */
export function parseMultipart(body: Uint8Array, boundary: string): Map<string, Uint8Array> {
  const parts = new Map<string, Uint8Array>();
  const b = Buffer.from(body.buffer, body.byteOffset, body.length);
  if (boundary === "") failed("multipart: boundary is empty");
  const mark = Buffer.from(`--${boundary}`);
  let at = b.indexOf(mark);
  if (at < 0) failed("multipart: NextPart: EOF");
  for (;;) {
    at += mark.length;
    if (b[at] === 45 && b[at + 1] === 45) return parts; // --boundary--
    while (b[at] === 32 || b[at] === 9) at++;
    if (b[at] === 13) at++;
    if (b[at] !== 10) failed("multipart: expected a line end after the boundary");
    const end = b[at - 1] === 13 ? "\r\n" : "\n",
      headEnd = b.indexOf(end + end, at);
    const next = b.indexOf(Buffer.concat([Buffer.from(end), mark]), headEnd < 0 ? at : headEnd + end.length);
    if (headEnd < 0 || next < 0) failed("multipart: NextPart: unexpected EOF");
    const head = b.toString("latin1", at, headEnd);
    const name = /content-disposition:[^\r\n]*;\s*name="?([^";\r\n]*)"?/i.exec(head)?.[1];
    if (name !== undefined && !parts.has(name))
      parts.set(name, body.subarray(headEnd + 2 * end.length, next));
    at = next + end.length;
  }
}

/**
 * Reads `sample_type_config`: a JSON object of sample types, or null.
 * @throws `unknown`
 */
function parseSampleTypes(text: string): ReadonlyMap<string, SampleTypeConfig> | undefined {
  const wrong = (what: string): never => failed(`sample_type_config: ${what}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (err) {
    return wrong((err as Error).message);
  }
  if (parsed === null) return undefined;
  if (typeof parsed !== "object" || Array.isArray(parsed)) return wrong("expected an object");
  return new Map(
    Object.entries(parsed as Record<string, unknown>).map(([type, config]) => {
      if (config === null) return [type, {}];
      if (typeof config !== "object" || Array.isArray(config)) return wrong(`${type}: expected an object`);
      const name = (config as { "display-name"?: unknown })["display-name"];
      if (name !== undefined && name !== null && typeof name !== "string")
        return wrong(`${type}: display-name: expected a string`);
      return [type, config];
    }),
  );
}

/**
 * Reads the form of a pprof push: the profile and its sample type configuration. Refuses a form with
 * `prev_profile`.
 */
export function parsePprofForm(body: Uint8Array, boundary: string): PprofForm {
  const parts = parseMultipart(body, boundary);
  if (parts.has("prev_profile"))
    failed("unsupported client version. Please update github.com/grafana/pyroscope-go to the latest version");
  const config = parts.get("sample_type_config");
  const sampleTypes = config && parseSampleTypes(Buffer.from(config).toString("utf8"));
  return { profile: parts.get("profile"), sampleTypes };
}

const DISPLAY: ReadonlyMap<string, string> = new Map([
  ["samples", "cpu"],
  ["goroutine", "goroutines"],
  ["contentions", "mutex_count"],
  ["delay", "mutex_duration"],
]);

/** `__name__` of a pprof profile from /ingest (docs/formats/ingest.md). */
export function pprofName(
  sampleTypes: readonly string[],
  config: ReadonlyMap<string, SampleTypeConfig> | undefined,
): string {
  if (sampleTypes.includes("wall")) return "wall";
  let last = "";
  for (const type of sampleTypes) {
    const name = config ? config.get(type)?.["display-name"] || type : (DISPLAY.get(type) ?? type);
    if (name.includes("cpu")) return "process_cpu";
    if (name.includes("alloc_") || name.includes("inuse_") || name === "space" || name === "objects")
      return "memory";
    if (name.includes("mutex_")) return "mutex";
    if (name.includes("block_")) return "block";
    if (name.includes("goroutines")) return "goroutines";
    last = name;
  }
  return last;
}
