import { parseShard } from "@cinderblock/block-meta";
import { PairTable } from "@cinderblock/columnar";
import {
  type BlockInfo,
  type Exclusions,
  findDuplicates,
  type RowKeys,
  type SelectRequest,
  type SeriesRanges,
  sharedTimes,
  type SourceClient,
  type Deadline,
} from "@cinderblock/query";

/** Chosen blocks, grouped by the client that answers for them. */
export type QueryPlan = Map<SourceClient, BlockInfo[]>;

/** A comparison of rows: the tenant and selection, and how to ask a source. */
export interface ComparisonRequest extends Deadline {
  tenant: string;
  select: SelectRequest;
  ask: <T>(client: SourceClient, question: () => Promise<T>) => Promise<T>;
  /** called for sources without row keys: throws to replan the query, or returns to answer without them */
  lost: (ulids: readonly string[]) => void;
}

interface Placed {
  client: SourceClient;
  b: BlockInfo;
  /** key of the block's origin: its sources, sorted and joined */
  made: string;
}

const NO_ROWS = new Uint32Array(0);

/**
 * Whether two blocks are outputs of one job: different shards of one count, with the same sources. A split
 * puts a row into one shard, and later merges keep it there, so siblings share no row. No other pair of
 * overlapping blocks is known to be disjoint: a replica may be late, two split jobs of one hour may each have
 * a copy, two compactors may have merged the same block
 * (docs/correctness.md, "Compaction is visible at once").
 */
function areSiblings(x: Placed, y: Placed): boolean {
  const a = parseShard(x.b.shardId),
    b = parseShard(y.b.shardId);
  return a !== undefined && b !== undefined && a.of === b.of && a.number !== b.number && x.made === y.made;
}

const overlap = (x: BlockInfo, y: BlockInfo): boolean =>
  x.minTimeMs <= y.maxTimeMs && y.minTimeMs <= x.maxTimeMs;

/** Blocks and heads that may share rows with another: they overlap in time and are not siblings. */
function suspectsOf(all: readonly Placed[]): Placed[] {
  const out = new Set<Placed>();
  let open: Placed[] = [];
  for (const x of [...all].sort((a, b) => a.b.minTimeMs - b.b.minTimeMs)) {
    open = open.filter((y) => y.b.maxTimeMs >= x.b.minTimeMs);
    for (const y of open) {
      if ((out.has(x) && out.has(y)) || areSiblings(x, y)) continue;
      out.add(x);
      out.add(y);
    }
    open.push(x);
  }
  return all.filter((x) => out.has(x));
}

/**
 * Groups of sources, as positions in `ranges`. Within a group, each source has a series that overlaps in time
 * with the same series of another source.
 */
function overlapGroups(ranges: readonly SeriesRanges[]): number[][] {
  const n = ranges.reduce((sum, r) => sum + r.fingerprint.length, 0);
  const table = new PairTable(n);
  /** entry (a series of a source) -> number of the series, and position of the source */
  const series = new Uint32Array(n),
    source = new Uint32Array(n),
    min = new BigInt64Array(n),
    max = new BigInt64Array(n);
  let at = 0,
    distinct = 0;
  ranges.forEach((r, s) => {
    min.set(r.min, at);
    max.set(r.max, at);
    const words = new Uint32Array(r.fingerprint.buffer, r.fingerprint.byteOffset, r.fingerprint.length * 2);
    for (let i = 0; i < r.fingerprint.length; i++, at++) {
      const known = table.getOrSet(words[2 * i]!, words[2 * i + 1]!, distinct);
      series[at] = known < 0 ? distinct++ : known;
      source[at] = s;
    }
  });
  // Sort the entries by series (counting sort), then by the time of their first profile.
  const end = new Uint32Array(distinct + 1);
  for (let i = 0; i < n; i++) end[series[i]! + 1]!++;
  for (let i = 0; i < distinct; i++) end[i + 1]! += end[i]!;
  const next = end.slice(),
    entries = new Uint32Array(n);
  for (let i = 0; i < n; i++) entries[next[series[i]!]!++] = i;
  const parent = ranges.map((_, s) => s),
    found = new Set<number>();
  const root = (s: number): number => {
    while (parent[s] !== s) s = parent[s] = parent[parent[s]!]!;
    return s;
  };
  for (let k = 0; k < distinct; k++) {
    if (end[k + 1]! - end[k]! < 2) continue;
    const own = entries.subarray(end[k], end[k + 1]).sort((a, b) => (min[a]! < min[b]! ? -1 : 1));
    let last = own[0]!; // entry of the current series with the latest end so far
    for (let i = 1; i < own.length; i++) {
      const e = own[i]!;
      if (min[e]! <= max[last]!) {
        found.add(source[e]!).add(source[last]!);
        parent[root(source[e]!)] = root(source[last]!);
      }
      if (max[e]! > max[last]!) last = e;
    }
  }
  const groups = new Map<number, number[]>();
  for (const s of [...found].sort((a, b) => a - b)) {
    const list = groups.get(root(s));
    if (list) list.push(s);
    else groups.set(root(s), [s]);
  }
  return [...groups.values()];
}

/**
 * Narrows a selection to the time in which any two sources overlap. Block times are rounded to milliseconds,
 * hence the margin of 1 ms.
 */
function windowOf(members: readonly Placed[], select: SelectRequest): SelectRequest {
  let startMs = Infinity,
    endMs = -Infinity;
  for (const x of members)
    for (const y of members) {
      if (x === y || !overlap(x.b, y.b)) continue;
      startMs = Math.min(startMs, Math.max(x.b.minTimeMs, y.b.minTimeMs) - 1);
      endMs = Math.max(endMs, Math.min(x.b.maxTimeMs, y.b.maxTimeMs) + 1);
    }
  return { ...select, startMs: Math.max(select.startMs, startMs), endMs: Math.min(select.endMs, endMs) };
}

/**
 * Computes the rows that each source leaves out, so that every row counts once. Heads leave out rows that
 * arrived after they were listed, since no other source was compared with those, except rows that replace a
 * listed row of a replica. Sources that may share rows
 * answer with the time ranges of their series; sources that share a series at one time answer with row keys.
 * Groups with a compacted block, which is large and rarely shares a row, compare times before keys. A head
 * that was cut since numbers its rows differently: it counts as lost, and the replanned query reads it as a
 * block (docs/adr/0015-compare-rows-by-number-of-one-form.md,
 * docs/adr/0024-compare-rows-whatever-the-level.md).
 */
export async function computeExclusions(plan: QueryPlan, c: ComparisonRequest): Promise<Exclusions> {
  const all: Placed[] = [...plan].flatMap(([client, blocks]) =>
    blocks.map((b) => ({ client, b, made: [...b.sources].sort().join() })),
  );
  if (all.length < 2) return {};
  const heads = new Map(all.flatMap(({ b }) => (b.rows === undefined ? [] : [[b.ulid, b.rows] as const])));
  const listed = (): Exclusions =>
    Object.fromEntries([...heads].map(([ulid, upTo]) => [ulid, { form: "head", upTo, rows: NO_ROWS }]));
  const suspects = suspectsOf(all);
  if (suspects.length < 2) return listed();

  const inForm = <T extends { ulid: string; form: SeriesRanges["form"] }>(answers: readonly T[]): T[] =>
    answers.filter((x) => x.form === "head" || !heads.has(x.ulid));
  /**
   * Asks each client about its part of `members`. A source without an answer leaves the plan, because another
   * source may have the same rows.
   */
  const ofEach = async <T extends { ulid: string; form: SeriesRanges["form"] }>(
    members: readonly Placed[],
    question: (client: SourceClient, ulids: string[]) => Promise<readonly T[]>,
  ): Promise<T[]> => {
    const byClient = new Map<SourceClient, string[]>();
    for (const { client, b } of members) byClient.set(client, [...(byClient.get(client) ?? []), b.ulid]);
    const answers = inForm(
      (
        await Promise.all(
          [...byClient].map(([client, ulids]) => c.ask(client, () => question(client, ulids))),
        )
      ).flat(),
    );
    const there = new Set(answers.map((a) => a.ulid)),
      missing = members.map((m) => m.b.ulid).filter((u) => !there.has(u));
    if (missing.length > 0) {
      c.lost(missing);
      for (const [client, blocks] of plan)
        plan.set(
          client,
          blocks.filter((b) => !missing.includes(b.ulid)),
        );
    }
    return answers;
  };
  const keysOf = (members: readonly Placed[], select: SelectRequest): Promise<RowKeys[]> =>
    ofEach(members, (client, ulids) => client.keys(c.tenant, ulids, select, c));

  const ranges = await ofEach(suspects, (client, ulids) => client.ranges(c.tenant, ulids, c.select, c));
  // Ingesters of the previous release do not list their rows.
  for (const r of ranges) if (r.form === "head" && !heads.has(r.ulid)) heads.set(r.ulid, r.upTo);
  const placed = new Map(suspects.map((x) => [x.b.ulid, x]));
  const groups = overlapGroups(ranges).map((g) => g.map((s) => placed.get(ranges[s]!.ulid)!));
  const isLarge = (g: readonly Placed[]): boolean =>
    g.some((x) => x.b.level >= 2) && g.every((x) => x.client.times !== undefined);
  const [small, large] = [groups.filter((g) => !isLarge(g)), groups.filter(isLarge)];
  const keys = await Promise.all([
    small.length > 0 ? keysOf(small.flat(), c.select) : [],
    ...large.map(async (members) => {
      const select = windowOf(members, c.select);
      let known = true;
      const times = await ofEach(members, async (client, ulids) => {
        const answer = await client.times!(c.tenant, ulids, select, c);
        if (answer) return answer;
        known = false; // client of the previous release: fall back to keys
        return ulids.map((ulid) => ({
          ...UNKNOWN,
          ulid,
          form: heads.has(ulid) ? ("head" as const) : ("block" as const),
        }));
      });
      if (!known) return keysOf(members, select);
      const shared = sharedTimes(times);
      if (!shared) return [];
      return keysOf(
        members.filter((x) => shared.ulids.has(x.b.ulid)),
        {
          ...select,
          startMs: Math.max(select.startMs, Number(shared.minNanos / 1_000_000n)),
          endMs: Math.min(select.endMs, Number(shared.maxNanos / 1_000_000n)),
        },
      );
    }),
  ]);
  const compared = keys.flat().sort((a, b) => (a.ulid < b.ulid ? -1 : 1));
  return { ...listed(), ...findDuplicates(compared, heads) };
}

const UNKNOWN = {
  upTo: -1,
  fingerprint: new BigUint64Array(0),
  count: new Uint32Array(0),
  timeNanos: new BigInt64Array(0),
};
