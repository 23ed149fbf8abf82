import { ShortRead } from "@cinderblock/bytes";
import { U32Column } from "@cinderblock/columnar";
import { CinderblockError } from "@cinderblock/errors";
import { type Label, LABEL_DELTA, LABEL_NAME, LABEL_OTEL, LABEL_SERVICE_NAME } from "@cinderblock/model";
import {
  decodeExport,
  decodeExportJson,
  type OtlpAttribute,
  type OtlpProfile,
  type OtlpResource,
  OtlpTables,
} from "@cinderblock/otlp";
import type { PprofHeader, PprofSource } from "@cinderblock/pprof";
import type { FrameBudget } from "./frame-budget.ts";
import { SampleTexts, SERVICE, textOf } from "./otlp-texts.ts";
import { OtlpWriter } from "./otlp-writer.ts";

const EXECUTABLE = "process.executable.name";

/** The profile of one series in an export: its content in the layout of a pprof. */
export interface OtlpSeries {
  labels: Label[];
  header: PprofHeader;
  source: PprofSource;
  /** cause of a missing name; undefined: the profile has a name */
  unnamed: string | undefined;
}

/** Largest body whose columns are kept for the next export. */
const KEPT_BYTES = 1 << 20;

/** Reads exports, and keeps the memory of small ones for the next. One per thread. */
export class OtlpReader {
  private readonly tables = new OtlpTables();
  private readonly writer = new OtlpWriter();

  /** Decodes an export; a broken body is an error with v1's text. The tables are valid until the next export. */
  read(body: Uint8Array, codec: "proto" | "json"): OtlpTables {
    try {
      if (codec === "json") return decodeExportJson(body);
      return decodeExport(body, body.length <= KEPT_BYTES ? this.tables : new OtlpTables());
    } catch (err) {
      if (err instanceof ShortRead || err instanceof SyntaxError || err instanceof RangeError)
        throw new CinderblockError(
          "invalid",
          `Failed to parse ${codec === "json" ? "JSON" : "protobuf"} request: ${err.message}`,
          { reason: "malformed_profile", cause: err },
        );
      throw err;
    }
  }

  /**
   * Profiles of an export with the labels of their series (docs/formats/otlp-profiles.md). The last one is valid
   * until the next call.
   * @throws `invalid` when one of them is malformed, or their stacks exceed the budget
   */
  series(t: OtlpTables, nowNanos: bigint, frames: FrameBudget): OtlpSeries[] {
    if (!t.hasDictionary)
      throw new CinderblockError("invalid", "missing profile metadata dictionary", {
        reason: "malformed_profile",
      });
    if (t.resources.length === 0)
      throw new CinderblockError("invalid", "no profiles in the request: resourceProfiles is empty", {
        reason: "malformed_profile",
      });
    const out: OtlpSeries[] = [],
      texts = new SampleTexts(t),
      writer = t === this.tables ? this.writer : new OtlpWriter();
    writer.begin(t, texts, frames);
    for (const resource of t.resources)
      for (const scope of resource.scopes) {
        const labels = attributeLabels([...resource.attributes, ...scope.attributes]);
        for (const profile of scope.profiles)
          for (const [service, samples] of byService(profile, t, texts)) {
            // The writer's columns are those of one profile.
            const before = out.at(-1);
            if (before) before.source = copyOf(before.source);
            const { name, unnamed, header, source } = writer.write(profile, samples, nowNanos);
            out.push({
              header,
              source,
              unnamed,
              labels: seriesLabels(name, labels, service || resourceService(resource)),
            });
          }
      }
    return out;
  }
}

function copyOf(s: PprofSource): PprofSource {
  return {
    strings: { bytes: s.strings.bytes.slice(), offset: s.strings.offset.slice() },
    functionWords: s.functionWords.slice(),
    mappingWords: s.mappingWords.slice(),
    locationWords: s.locationWords.slice(),
    locationOffset: s.locationOffset.slice(),
    sampleOffset: s.sampleOffset.slice(),
    sampleLocation: s.sampleLocation.slice(),
    value: s.value.slice(),
    ...(s.labels
      ? {
          labels: {
            offset: s.labels.offset.slice(),
            key: s.labels.key.slice(),
            value: s.labels.value.slice(),
          },
        }
      : {}),
  };
}

function seriesLabels(name: string, labels: readonly Label[], service: string): Label[] {
  return [
    { name: LABEL_DELTA, value: "false" },
    { name: LABEL_OTEL, value: "true" },
    { name: LABEL_NAME, value: name },
    ...labels.filter((l) => l.name !== LABEL_NAME && l.name !== LABEL_SERVICE_NAME),
    { name: LABEL_SERVICE_NAME, value: service },
  ];
}

/** Labels from attributes; the first attribute of each key counts that has a text. */
function attributeLabels(attributes: readonly OtlpAttribute[]): Label[] {
  const seen = new Map<string, string>();
  for (const { key, value } of attributes) {
    const text = textOf(value);
    if (text !== "" && !seen.has(key)) seen.set(key, text);
  }
  return [...seen].map(([name, value]) => ({ name, value }));
}

function resourceService({ attributes }: OtlpResource): string {
  const find = (key: string): string => {
    for (const a of attributes) {
      const text = a.key === key ? textOf(a.value) : "";
      if (text !== "") return text;
    }
    return "";
  };
  const executable = find(EXECUTABLE);
  return find(SERVICE) || (executable !== "" ? `unknown_service:${executable}` : "unknown_service");
}

/** Samples of a profile by service: a sample may have its own service. */
function byService(p: OtlpProfile, t: OtlpTables, texts: SampleTexts): Iterable<[string, Uint32Array]> {
  const out = new Map<string, U32Column>();
  let last: string | undefined, list: U32Column | undefined;
  for (let s = p.sampleFrom; s < p.sampleTo; s++) {
    let service: string | undefined;
    for (let k = t.sampleAttributes.data[s]!; k < t.sampleAttributes.data[s + 1]!; k++) {
      const own = texts.attribute(t.sampleAttribute.data[k]!).service;
      service ??= own;
    }
    service ??= "";
    if (service !== last || !list) {
      last = service;
      list = out.get(service);
      if (!list) out.set(service, (list = new U32Column(p.sampleTo - s)));
    }
    list.push(s);
  }
  return Array.from(out, ([service, samples]) => [service, samples.view()]);
}
