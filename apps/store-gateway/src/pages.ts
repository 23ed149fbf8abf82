import { type BlockMeta, decodeBucketIndex, isUlid, LABEL_SHARD } from "@cinderblock/block-meta";
import { kindOf } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import {
  type FastifyReply,
  type FastifyRequest,
  html,
  type Html,
  type Routes,
  relativeRoot,
  sendPage,
  table,
  wantsJson,
} from "@cinderblock/rpc";
import type { StoreGateway } from "./store-gateway.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
function sizeText(bytes: number): string {
  let n = bytes,
    unit = 0;
  while (n >= 1024 && unit < UNITS.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 ? n : n.toFixed(1)} ${UNITS[unit]!}`;
}
const time = (ms: number): string => new Date(ms).toISOString().replace(/\.000Z$/, "Z");
const bytesOf = (m: BlockMeta): number => m.files.reduce((n, f) => n + f.sizeBytes, 0);
const sum = (all: readonly BlockMeta[], pick: (m: BlockMeta) => number): number =>
  all.reduce((n, m) => n + pick(m), 0);

/** A block's JSON; times in ms. */
function described(m: BlockMeta, deletedAtMs: number | undefined) {
  return {
    block: m.ulid,
    minTime: m.minTimeMs,
    maxTime: m.maxTimeMs,
    level: m.compaction.level,
    shard: m.labels[LABEL_SHARD] ?? "",
    sources: m.compaction.sources,
    parents: m.compaction.parents.map((p) => p.ulid),
    bytes: bytesOf(m),
    series: m.stats.numSeries,
    profiles: m.stats.numProfiles,
    samples: m.stats.numSamples,
    downsampled: m.files.filter((f) => /^profiles_.*\.parquet$/.test(f.relPath)).map((f) => f.relPath),
    source: m.source,
    ...(deletedAtMs === undefined ? {} : { deletionMarkedAt: deletedAtMs }),
  };
}

/** Contents of the bucket as HTML and JSON: tenants, blocks, one block. Uses v1's paths, also admin paths. */
export function storePages(store: StoreGateway, bucket: Bucket): Routes {
  /** block -> time of its deletion mark in ms, from the bucket index; newer marks are not shown */
  const marks = async (tenant: string): Promise<Map<string, number>> => {
    try {
      return new Map(
        decodeBucketIndex(await bucket.get(`${tenant}/phlaredb/bucket-index.json.gz`)).marks.map((m) => [
          m.ulid,
          m.deletionTimeS * 1000,
        ]),
      );
    } catch (err) {
      // a missing or damaged bucket index has no marks to show; the sync reports the damage
      if (kindOf(err) === "not-found" || kindOf(err) === "corrupt") return new Map();
      throw err;
    }
  };
  const json = async (reply: FastifyReply, value: unknown): Promise<void> => {
    await reply.type("application/json").send(JSON.stringify(value));
  };
  const missing = async (request: FastifyRequest, reply: FastifyReply, what: string): Promise<void> => {
    void reply.code(404);
    await (wantsJson(request)
      ? json(reply, { message: what })
      : sendPage(request, reply, "Not there", html`<p>${what}</p>`));
  };

  const tenants = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const all = store
      .tenants()
      .sort()
      .map((tenant) => {
        const metas = store.metasOf(tenant);
        return {
          tenant,
          blocks: metas.length,
          bytes: sum(metas, bytesOf),
          profiles: sum(metas, (m) => m.stats.numProfiles),
          minTime: Math.min(...metas.map((m) => m.minTimeMs)),
          maxTime: Math.max(...metas.map((m) => m.maxTimeMs)),
        };
      });
    if (wantsJson(request)) {
      await json(reply, { tenants: all });
      return;
    }
    await sendPage(
      request,
      reply,
      "Tenants",
      html`${all.length === 0 ? html`<p>The bucket holds no blocks yet: pushed profiles stay in the ingesters until they are cut and uploaded.</p>` : ""}${table(
        ["Tenant", "Blocks", "Bytes", "Profiles", "From", "To"],
        all.map((t) => [
          html`<a href="${relativeRoot(request)}store-gateway/tenant/${encodeURIComponent(t.tenant)}/blocks">${t.tenant}</a>`,
          t.blocks,
          sizeText(t.bytes),
          t.profiles,
          time(t.minTime),
          time(t.maxTime),
        ]),
      )}`,
    );
  };

  interface Asked {
    Params: { tenant: string; block: string };
    Querystring: {
      show_deleted?: string;
      show_sources?: string;
      show_parents?: string;
      includeDeleted?: string;
      queryFrom?: string;
      queryTo?: string;
    };
  }
  const blocks = async (request: FastifyRequest<Asked>, reply: FastifyReply): Promise<void> => {
    const { tenant } = request.params,
      { query } = request;
    const metas = store
      .metasOf(tenant)
      .sort((a, b) => b.minTimeMs - a.minTimeMs || (a.ulid < b.ulid ? -1 : 1));
    if (metas.length === 0) {
      await missing(request, reply, `The bucket has no blocks of tenant ${tenant}.`);
      return;
    }
    const marked = await marks(tenant),
      withMarked =
        query.show_deleted === "on" || query.includeDeleted === "on" || query.includeDeleted === "true";
    const shown = metas
      .filter((m) => withMarked || !marked.has(m.ulid))
      .map((m) => described(m, marked.get(m.ulid)));
    if (wantsJson(request)) {
      await json(reply, { tenant, blocks: shown });
      return;
    }
    const rows = shown.map((b) => [
      html`<a href="${relativeRoot(request)}store-gateway/tenant/${encodeURIComponent(tenant)}/blocks/${b.block}">${b.block}</a>${b.deletionMarkedAt === undefined ? "" : html` <span class="quiet">marked for deletion ${time(b.deletionMarkedAt)}</span>`}`,
      b.level,
      b.shard,
      time(b.minTime),
      time(b.maxTime),
      sizeText(b.bytes),
      b.series,
      b.profiles,
      ...(query.show_sources === "on" ? [b.sources.join(" ")] : []),
      ...(query.show_parents === "on" ? [b.parents.join(" ")] : []),
    ]);
    const box = (name: string, what: string, on: boolean): Html =>
      html`<label><input type="checkbox" name="${name}" ${on ? "checked" : ""}> ${what}</label> `;
    await sendPage(
      request,
      reply,
      `Blocks of ${tenant}`,
      html`<form>${box("show_deleted", "blocks marked for deletion", withMarked)}${box("show_sources", "sources", query.show_sources === "on")}${box("show_parents", "parents", query.show_parents === "on")}<button>Show</button></form>
<p>${shown.length} blocks, ${sizeText(shown.reduce((n, b) => n + b.bytes, 0))}.</p>${table(["Block", "Level", "Shard", "From", "To", "Bytes", "Series", "Profiles", ...(query.show_sources === "on" ? ["Sources"] : []), ...(query.show_parents === "on" ? ["Parents"] : [])], rows)}`,
    );
  };

  const block = async (request: FastifyRequest<Asked>, reply: FastifyReply): Promise<void> => {
    const { tenant, block: ulid } = request.params,
      meta = isUlid(ulid) ? store.metasOf(tenant).find((m) => m.ulid === ulid) : undefined;
    if (!meta) {
      await missing(request, reply, `The bucket has no block ${ulid} of tenant ${tenant}.`);
      return;
    }
    const b = described(meta, (await marks(tenant)).get(ulid));
    if (wantsJson(request)) {
      await json(reply, {
        tenant,
        ...b,
        labels: meta.labels,
        hints: meta.compaction.hints ?? [],
        files: meta.files,
      });
      return;
    }
    await sendPage(
      request,
      reply,
      `Block ${ulid}`,
      html`${table(
        ["", ""],
        [
          [
            "Tenant",
            html`<a href="${relativeRoot(request)}store-gateway/tenant/${encodeURIComponent(tenant)}/blocks">${tenant}</a>`,
          ],
          ["From", time(b.minTime)],
          ["To", time(b.maxTime)],
          ["Level", b.level],
          ["Shard", b.shard === "" ? "none" : b.shard],
          ["Series", b.series],
          ["Profiles", b.profiles],
          ["Samples", b.samples],
          ["Bytes", sizeText(b.bytes)],
          ["Labels", Object.entries(meta.labels).map(([k, v]) => html`<code>${k}=${v}</code> `)],
          ["Hints", (meta.compaction.hints ?? []).join(", ")],
          ["Marked for deletion", b.deletionMarkedAt === undefined ? "no" : time(b.deletionMarkedAt)],
          ["Sources", b.sources.join(" ")],
          ["Parents", b.parents.join(" ")],
        ],
      )}<h2>Files</h2>${table(
        ["File", "Bytes", "Rows", "Row groups", "Series"],
        meta.files.map((f) => [
          f.relPath,
          f.sizeBytes,
          f.parquet?.numRows,
          f.parquet?.numRowGroups,
          f.tsdb?.numSeries,
        ]),
      )}`,
    );
  };

  return {
    http: (app) => {
      app.get("/store-gateway/tenants", tenants);
      app.get("/ops/object-store/tenants", tenants);
      for (const root of ["/store-gateway/tenant", "/ops/object-store/tenants"]) {
        app.get<Asked>(`${root}/:tenant/blocks`, blocks);
        app.get<Asked>(`${root}/:tenant/blocks/:block`, block);
      }
    },
  };
}
