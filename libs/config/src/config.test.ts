import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "@cinderblock/testkit";
import {
  bool,
  duration,
  formatDuration,
  helpText,
  int,
  loadConfig,
  parseDuration,
  secret,
  str,
  toYaml,
} from "./index.ts";

const schema = {
  target: str("target", undefined, "all", "Components to run."),
  port: int("server.http-listen-port", "server.http_listen_port", 4040, "Port.", { min: 0 }),
  tenants: bool("auth.multitenancy-enabled", "multitenancy_enabled", false, "Tenants."),
  older: duration("validation.reject-older-than", "limits.reject_older_than", "1h", "Age."),
  key: secret("storage.key", "storage.key", "Key."),
};
const none = { flags: [/^memberlist\./], yaml: [/^memberlist(\.|$)/] };
const load = (argv: string[], env = {}) => loadConfig(schema, argv, env, none);
const file = (text: string): string => {
  const path = join(temporaryFolder(), "c.yaml");
  writeFileSync(path, text);
  return path;
};

describe("configuration", () => {
  it("accepts -flag, --flag, separate values, and bare Booleans", () => {
    expect(
      load(["-target=querier", "--server.http-listen-port", "7", "-auth.multitenancy-enabled"]).config,
    ).toMatchObject({ target: "querier", port: 7, tenants: true });
  });
  it("applies flags over the file and the file over defaults", () => {
    const c = file("server:\n  http_listen_port: 1\nlimits:\n  reject_older_than: 2d\n");
    expect(load([`-config.file=${c}`, "-server.http-listen-port=2"]).config).toMatchObject({
      port: 2,
      older: 2 * 864e5,
    });
  });
  it("expands variables only with the flag", () => {
    const c = file("target: ${WHAT:ingester}\n");
    expect(load([`-config.file=${c}`]).config.target).toBe("${WHAT:ingester}");
    expect(load([`-config.file=${c}`, "-config.expand-env"], { WHAT: "querier" }).config.target).toBe(
      "querier",
    );
    expect(load([`-config.file=${c}`, "-config.expand-env=true"]).config.target).toBe("ingester");
  });
  it("names an unknown key and the nearest known one", () => {
    expect(() => load(["-taget=all"])).toThrow("unknown flag -taget; did you mean target?");
    expect(() => load([`-config.file=${file("server:\n  http_listen_prot: 1\n")}`])).toThrow(
      "unknown key server.http_listen_prot; did you mean server.http_listen_port?",
    );
  });
  it("treats a name close to a known one as a mistake, even among accepted keys", () => {
    const lenient = { flags: [/^server\./], yaml: [/^server(\.|$)/] };
    expect(() => loadConfig(schema, ["-server.http-listen-prot=1"], {}, lenient)).toThrow(
      "did you mean server.http-listen-port?",
    );
    expect(() =>
      loadConfig(schema, [`-config.file=${file("server: {http_listen_ports: 1}\n")}`], {}, lenient),
    ).toThrow("did you mean server.http_listen_port?");
    expect(loadConfig(schema, ["-server.grpc-listen-port=1"], {}, lenient).warnings).toHaveLength(1);
  });
  it("accepts a YAML list for a comma-separated option", () => {
    const lists = {
      ranges: str("compactor.block-ranges", "compactor.block_ranges", "", "Ranges.", { list: true }),
      one: str("a.b", "a.b", "", "One."),
    };
    expect(
      loadConfig(lists, [`-config.file=${file("compactor: {block_ranges: [1h, 2h]}\n")}`], {}, none).config
        .ranges,
    ).toBe("1h,2h");
    expect(loadConfig(lists, ["-compactor.block-ranges=1h,2h"], {}, none).config.ranges).toBe("1h,2h");
    expect(() => loadConfig(lists, [`-config.file=${file("a: {b: [1, 2]}\n")}`], {}, none)).toThrow(
      "a.b: expected a string",
    );
  });
  it("accepts v1's keys without effect, with a warning", () => {
    expect(
      load(["-memberlist.join=x", `-config.file=${file("memberlist:\n  join_members: [a, b]\n")}`]).warnings,
    ).toHaveLength(2);
  });
  it.each([
    ["-server.http-listen-port=x", "expected a whole number"],
    ["-server.http-listen-port=-1", "at least 0"],
    ["-validation.reject-older-than=soon", "a duration"],
    ["-auth.multitenancy-enabled=maybe", "true or false"],
  ])("refuses %s", (flag, message) => {
    expect(() => load([flag])).toThrow(message);
  });
  it("masks secrets in all output", () => {
    const { config } = load(["-storage.key=s3cret"]);
    expect(toYaml(schema, config, "changed")).toBe("storage:\n  key: <redacted>\n");
    expect(helpText(schema, "x")).toContain("-storage.key");
  });
  it("reads and writes durations as v1 does", () => {
    expect(parseDuration("1h30m")).toBe(5_400_000);
    expect([6048e5, 864e5, 36e5, 0, 1500].map(formatDuration)).toEqual(["1w", "1d", "1h0m0s", "0s", "1.5s"]);
  });
});
