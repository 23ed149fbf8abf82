import { MountedPaths } from "./mounted-path.ts";

const paths = new MountedPaths(
  new Map(
    [
      "/",
      "/ingest",
      "/pyroscope/ingest",
      "/pyroscope/render",
      "/push.v1.PusherService/Push",
      "/ready",
      "/ring",
      "/distributor/ring",
      "/debug/pprof/",
      "/store-gateway/tenant/:tenant/blocks",
    ].map((p) => [p, undefined]),
  ),
);

describe("a path below a prefix that a proxy does not strip", () => {
  it.each([
    ["/profiles/ingest", "/ingest"],
    ["/profiles/pyroscope/ingest", "/pyroscope/ingest"],
    ["/a/b/c/push.v1.PusherService/Push", "/push.v1.PusherService/Push"],
    ["/a/pyroscope/render", "/pyroscope/render"],
    ["/a/ready", "/ready"],
    ["/a/debug/pprof/", "/debug/pprof/"],
    ["/a/distributor/ring", "/distributor/ring"],
    ["/a/ring", "/ring"],
    ["/a/store-gateway/tenant/t.1/blocks", "/store-gateway/tenant/t.1/blocks"],
  ])("%s is %s", (path, route) => {
    expect(paths.routeOf(path)).toBe(route);
  });
  it.each(["/a/", "/a", "/compactor/ring", "/a/ingest/x", "/a/store-gateway/tenant//blocks", "/aingest"])(
    "%s is no route",
    (path) => {
      expect(paths.routeOf(path)).toBeUndefined();
    },
  );
  it("is found as fast, however many slashes it has", () => {
    const started = performance.now();
    expect(paths.routeOf(`${"/".repeat(1 << 20)}ingest`)).toBe("/ingest");
    expect(paths.routeOf("/".repeat(1 << 20))).toBeUndefined();
    expect(performance.now() - started).toBeLessThan(500);
  });
});
