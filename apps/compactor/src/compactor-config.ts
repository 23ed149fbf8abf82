/** The tenants and jobs of this process: each compactor of a ring owns some, and each has one owner. */
export interface Ownership {
  /** whether this process owns a tenant: retention, deletions, the bucket index */
  tenant: (tenant: string) => boolean;
  /** whether this process runs a tenant's job */
  job: (tenant: string, key: string) => boolean;
}

/** Settings of the compactor's jobs. */
export interface CompactorConfig {
  dataDir: string;
  rangesMs: readonly number[];
  intervalMs: number;
  /** a job of level-1 blocks waits until all were uploaded at least this long ago: more may come */
  firstLevelWaitMs: number;
  /** no new job of a tenant starts after this time in one run */
  maxTenantMs: number;
  retries: number;
  jobsOrder: "smallest-range-oldest-blocks-first" | "newest-blocks-first";
  splitBy: "fingerprint" | "stacktracePartition";
  downsampler: boolean;
  memoryBytes: number;
  ownership: Ownership;
  enabledTenants: readonly string[];
  disabledTenants: readonly string[];
  hostname: string;
  retentionDryRun: boolean;
}
