import type { Pace } from "@cinderblock/async";
import type { ProfileSource } from "@cinderblock/block";
import { type Bucket, type BucketSpec, openBucket } from "@cinderblock/objstore";
import { type Exclusions, executeOn, type PartialResult, type SourceQuery } from "@cinderblock/query";
import { SymbolizedSource, type TableSource } from "./symbolized-source.ts";
import { type SymbolizerConfig, TableStore } from "./table-store.ts";

/** Configuration of a thread that reads profiles. */
export interface SymbolizerData {
  config: SymbolizerConfig;
  bucket: BucketSpec;
}

/**
 * Wraps the sources of queries. Each keeps its names between queries, until missing names may have arrived.
 */
export class Symbolizer {
  private readonly known = new WeakMap<ProfileSource, SymbolizedSource>();
  private readonly tables: TableSource;
  private readonly now: () => number;

  constructor(tables: TableSource, now: () => number) {
    this.tables = tables;
    this.now = now;
  }

  /** @param bucket the thread's bucket, if it has one */
  static async open(
    data: SymbolizerData | undefined,
    now: () => number,
    bucket?: Bucket,
  ): Promise<Symbolizer | undefined> {
    return (
      data && new Symbolizer(new TableStore(data.config, bucket ?? (await openBucket(data.bucket)), now), now)
    );
  }

  /** Runs a query with named frames. `unnamed`: reason why some have no names yet. */
  async execute(
    sources: readonly ProfileSource[],
    tenant: string,
    query: SourceQuery,
    exclude: Exclusions,
    pace?: Pace,
  ): Promise<{ result: PartialResult; unnamed: string | undefined }> {
    const named = this.wrapSources(sources, tenant),
      result = await executeOn(named, query, exclude, pace);
    return { result, unnamed: named.find((s) => s.unnamed !== undefined)?.unnamed };
  }

  wrapSources(sources: readonly ProfileSource[], tenant: string): SymbolizedSource[] {
    return sources.map((s) => {
      let own = this.known.get(s);
      if (!own || own.staleAtMs <= this.now())
        this.known.set(s, (own = new SymbolizedSource(s, tenant, this.tables)));
      return own;
    });
  }
}
