import type { ProfileSource } from "@cinderblock/block";
import { type Bucket, type BucketSpec, openBucket } from "@cinderblock/objstore";
import { type Exclusions, executeOn, type PartialResult, type SourceQuery } from "@cinderblock/query";
import { SymbolisedSource, type TableSource } from "./symbolised-source.ts";
import { type SymbolizerConfig, TableStore } from "./table-store.ts";

/** What a thread that reads profiles needs for it. */
export interface SymbolizerData { config: SymbolizerConfig; bucket: BucketSpec }

/** Wraps the sources of queries; each keeps its names from query to query, until those that were missing may have come. */
export class Symboliser {
  private readonly known = new WeakMap<ProfileSource, SymbolisedSource>();
  private readonly tables: TableSource;
  private readonly now: () => number;

  constructor(tables: TableSource, now: () => number) { this.tables = tables; this.now = now; }

  /** @param bucket the thread's own, where it has one */
  static async open(data: SymbolizerData | undefined, now: () => number, bucket?: Bucket): Promise<Symboliser | undefined> {
    return data && new Symboliser(new TableStore(data.config, bucket ?? await openBucket(data.bucket), now), now);
  }

  /** Answers a query with named frames. `unnamed`: some may have names when it is asked again. */
  async execute(sources: readonly ProfileSource[], tenant: string, query: SourceQuery, exclude: Exclusions): Promise<{ result: PartialResult; unnamed: boolean }> {
    const named = this.of(sources, tenant), result = await executeOn(named, query, exclude);
    return { result, unnamed: named.some((s) => s.unnamed) };
  }

  of(sources: readonly ProfileSource[], tenant: string): SymbolisedSource[] {
    return sources.map((s) => {
      let own = this.known.get(s);
      if (!own || own.staleAtMs <= this.now()) this.known.set(s, (own = new SymbolisedSource(s, tenant, this.tables)));
      return own;
    });
  }
}
