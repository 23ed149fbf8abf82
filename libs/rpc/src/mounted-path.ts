/** Segments that name a component in front of a ring's page: the page of another ring is no replacement. */
const COMPONENTS: ReadonlySet<string> = new Set([
  "distributor",
  "ingester",
  "compactor",
  "store-gateway",
  "query-frontend",
  "query-scheduler",
  "querier",
  "overrides-exporter",
]);

/**
 * Finds routes below a prefix that a proxy does not strip: `/a/b/ingest` is `/ingest`, for reads and writes
 * alike. So a proxy needs no flag.
 */
export class MountedPaths {
  private readonly known: ReadonlyMap<string, unknown>;
  private patterns: RegExp[] | undefined;
  /** segments of the longest route */
  private segments = 0;

  /** @param known paths of all routes, complete before the first request */
  constructor(known: ReadonlyMap<string, unknown>) {
    this.known = known;
  }

  /** Path of the route behind the prefix; undefined for a path without such a route. */
  routeOf(path: string): string | undefined {
    const patterns = this.prepared();
    // From the end, so that a path of a million slashes costs no more than others.
    const starts: number[] = [];
    for (let at = path.lastIndexOf("/"); at > 0 && starts.length < this.segments; )
      at = path.lastIndexOf("/", starts[starts.push(at) - 1]! - 1);
    for (const at of starts.reverse()) {
      const own = path.slice(at);
      if (own === "/" || !(this.known.has(own) || patterns.some((p) => p.test(own)))) continue;
      const last = path.slice(path.lastIndexOf("/", at - 1) + 1, at);
      if (own !== "/ring" || !COMPONENTS.has(last)) return own;
    }
    return undefined;
  }

  private prepared(): readonly RegExp[] {
    if (!this.patterns) {
      const paths = [...this.known.keys()];
      this.segments = Math.max(0, ...paths.map((p) => p.split("/").length - 1));
      this.patterns = paths.filter((p) => p.includes("/:")).map(patternOf);
    }
    return this.patterns;
  }
}

/** Pattern of a route's path with parameters, such as `/store-gateway/tenant/:tenant/blocks`. */
function patternOf(path: string): RegExp {
  const source = path
    .split("/")
    .map((s) => (s.startsWith(":") ? "[^/]+" : s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")))
    .join("/");
  return new RegExp(`^${source}$`);
}
