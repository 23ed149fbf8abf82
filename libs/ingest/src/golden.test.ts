import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadHasher } from "@cinderblock/bytes";
import { labelsText } from "@cinderblock/model";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import {
  type IngestRequest,
  type ProcessedProfile,
  PushProcessor,
  RateGate,
  type SentPush,
  stringAt,
} from "./index.ts";
import { framesOf } from "./testing.ts";

/** Bodies of every format with their expected profiles: see golden/README.md. */
const FOLDER = join(import.meta.dirname, "golden"),
  NOW = 1_795_409_460_000;
const REQUEST: IngestRequest = {
  app: "shop",
  tags: [{ name: "pod", value: "a" }],
  format: "pprof",
  boundary: "",
  spyName: "golden",
  sampleRate: 100,
  fromNanos: BigInt(NOW) * 1_000_000n,
  durationNanos: 10_000_000_000n,
};

function pushOf(file: string, body: Uint8Array): SentPush {
  const ingest = (format: IngestRequest["format"], more: Partial<IngestRequest> = {}): SentPush => ({
    kind: "ingest",
    request: { ...REQUEST, format, ...more },
    body,
  });
  switch (file) {
    case "push.pb":
    case "push.json":
      return { kind: "push", codec: file === "push.pb" ? "proto" : "json", gzip: false, body };
    case "export.pb":
    case "export.json":
      return { kind: "otlp", codec: file === "export.pb" ? "proto" : "json", gzip: false, body };
    case "heap.pprof.gz":
      return ingest("pprof");
    case "dotnet.form":
      return ingest("multipart", { boundary: "golden", spyName: "dotnetspy" });
    case "folded.txt":
      return ingest("groups", { app: "shop.cpu" });
    case "lines.txt":
      return ingest("lines", { app: "shop.cpu" });
    case "stacks.trie":
      return ingest("trie", { app: "shop.alloc_objects" });
    case "stacks.tree":
      return ingest("tree", { app: "shop.cpu" });
    case "sampled.speedscope.json":
    case "evented.speedscope.json":
      return ingest("speedscope", { app: "shop.cpu" });
    case "recording.jfr.gz":
    case "events.jfr":
    case "wall.jfr":
      return ingest("jfr");
    case "recording.form":
      return ingest("jfr", { boundary: "golden" });
    default:
      throw new Error(`golden/${file}: say how it is pushed`);
  }
}

/**
 * `labels`, then a line `type/unit value root;…;leaf` for every value of every sample. A frame without a name
 * is `mapping+address`; a span is in brackets.
 */
async function stored(push: SentPush): Promise<string> {
  const out: string[] = [];
  const processor = new PushProcessor(await loadHasher(), {
    append: (_tenant: string, p: ProcessedProfile) => {
      const t = p.profile.tables,
        { ids } = p;
      for (const g of p.groups) {
        const rows: string[] = [];
        for (const s of g.samples) {
          const frames = framesOf(p, s).join(";");
          const span =
            ids.spans && (ids.spans[2 * s]! | ids.spans[2 * s + 1]!) !== 0
              ? ` [${Buffer.from(ids.spans.buffer, ids.spans.byteOffset + s * 8, 8).toString("hex")}]`
              : "";
          for (let k = 0; k < t.sampleTypes; k++)
            rows.push(
              `  ${stringAt(t, t.typeType.data[k]!)}/${stringAt(t, t.typeUnit.data[k]!)} ${t.value.data[t.sampleValues.data[s]! + k]} ${frames}${span}`,
            );
        }
        out.push([labelsText(g.labels), ...rows.sort()].join("\n"));
      }
    },
  });
  const { error } = processor.process("t", push, TEST_LIMITS, new RateGate(new SharedArrayBuffer(8)), NOW);
  if (error) throw error;
  return `${out.sort().join("\n")}\n`;
}

const files = readdirSync(FOLDER).filter((f) => !f.endsWith(".expected") && f !== "README.md");
const read = (file: string): Buffer => readFileSync(join(FOLDER, file));

describe("golden bodies", () => {
  it.each(files)("%s", async (file) => {
    expect(await stored(pushOf(file, read(file)))).toBe(read(`${file}.expected`).toString("utf8"));
  });

  it.each(files)("%s has the same series and counts in a check-only pass", async (file) => {
    const hasher = await loadHasher();
    const seen = (checksOnly: boolean): unknown => {
      const kept: string[] = [];
      const sink = {
        checksOnly,
        append: (_tenant: string, p: ProcessedProfile): void => {
          for (const g of p.groups)
            kept.push(`${labelsText(g.labels)} ${p.profile.tables.sampleTypes} ${p.profile.kept}`);
        },
      };
      return {
        answer: new PushProcessor(hasher, sink).process(
          "t",
          pushOf(file, read(file)),
          TEST_LIMITS,
          new RateGate(new SharedArrayBuffer(8)),
          NOW,
        ),
        kept,
      };
    };
    expect(seen(true)).toEqual(seen(false));
  });

  it("are equal for equal content", () => {
    expect(read("push.pb.expected").equals(read("push.json.expected"))).toBe(true);
    expect(read("sampled.speedscope.json.expected").equals(read("evented.speedscope.json.expected"))).toBe(
      true,
    );
  });
});
