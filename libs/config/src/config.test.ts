import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "@cinderblock/testkit";
import {
  bool,
  decisionsText,
  duration,
  type ForeignOption,
  formatDuration,
  helpText,
  int,
  type KnownNames,
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
  prefix: str("storage.prefix", "storage.prefix", "", "Prefix."),
  key: secret("storage.key", "storage.key", "Key."),
};
const foreign = (
  flag: string,
  yaml: string,
  kind: ForeignOption["kind"],
  defaults: string[],
  outcome: ForeignOption["outcome"],
): ForeignOption => ({ flag, yaml, kind, defaults, outcome });
const known: KnownNames = {
  others: [{ flag: "compactor.jobs", yaml: "compactor.jobs", kind: "int", min: 1 }],
  foreign: [
    foreign("memberlist.join", "memberlist.join_members", "list", [""], {
      is: "meaningless",
      why: "no ring",
    }),
    foreign("stats.enabled", "stats.enabled", "bool", ["true"], { is: "warned", why: "none are sent" }),
    foreign("client.tls-enabled", "client.tls_enabled", "bool", ["false"], { is: "refused", why: "set X" }),
    foreign("client.timeout", "client.timeout", "duration", ["1m0s", "2m"], { is: "refused", why: "set Y" }),
    foreign("storage.storage-prefix", "storage.storage_prefix", "string", [""], {
      is: "mapped",
      to: "storage.prefix",
    }),
    foreign("", "limits.rules", "any", [""], { is: "refused", why: "set Z" }),
  ],
  flags: "all",
};
const load = (argv: string[], env = {}) => loadConfig(schema, argv, env, known);
const file = (text: string): string => {
  const path = join(temporaryFolder(), "c.yaml");
  writeFileSync(path, text);
  return path;
};
const loadFile = (text: string, ...argv: string[]) => load([`-config.file=${file(text)}`, ...argv]);
/** Names of the decisions of one kind. */
const decided = (is: string, loaded: ReturnType<typeof load>): string[] =>
  loaded.decisions.filter((d) => d.is === is).map((d) => d.name);

describe("configuration", () => {
  it("accepts -flag, --flag, separate values, and bare Booleans", () => {
    expect(
      load(["-target=querier", "--server.http-listen-port", "7", "-auth.multitenancy-enabled"]).config,
    ).toMatchObject({ target: "querier", port: 7, tenants: true });
  });
  it("lets a foreign Boolean flag stand alone, so that the next flag keeps its value", () => {
    const loaded = load(["-stats.enabled", "-target=querier", "-auth.multitenancy-enabled=false"]);
    expect(loaded.config).toMatchObject({ target: "querier", tenants: false });
    expect(decided("fits", loaded)).toEqual(["-stats.enabled"]);
    expect(decided("warned", load(["-stats.enabled=false", "-target=a"]))).toEqual(["-stats.enabled"]);
  });
  it("refuses a value after a Boolean flag without an equals sign, as Go does", () => {
    expect(() => load(["-auth.multitenancy-enabled", "false"])).toThrow('unexpected argument "false"');
  });
  it("applies flags over the file and the file over defaults", () => {
    expect(
      loadFile(
        "server:\n  http_listen_port: 1\nlimits:\n  reject_older_than: 2d\n",
        "-server.http-listen-port=2",
      ).config,
    ).toMatchObject({ port: 2, older: 2 * 864e5 });
  });
  it("expands variables only with the flag", () => {
    const c = file("target: ${WHAT:ingester}\n");
    expect(load([`-config.file=${c}`]).config.target).toBe("${WHAT:ingester}");
    expect(load([`-config.file=${c}`, "-config.expand-env"], { WHAT: "querier" }).config.target).toBe(
      "querier",
    );
    expect(load([`-config.file=${c}`, "-config.expand-env=true"]).config.target).toBe("ingester");
    expect(load([`-config.file=${c}`, "-config.expand-env=false"]).config.target).toBe("${WHAT:ingester}");
  });
  it("resolves anchors and merge keys, and accepts empty sections", () => {
    expect(loadFile("server: &s {http_listen_port: 3}\nlimits:\n").config).toMatchObject({
      port: 3,
      older: 36e5,
    });
    expect(loadFile("server: {<<: {http_listen_port: 5}}\n").config.port).toBe(5);
    expect(loadFile("").config.port).toBe(4040);
    expect(() => loadFile("server: 5\n")).toThrow("server: expected a mapping");
    expect(() => loadFile("- server\n")).toThrow("the file: expected a mapping");
  });
  it("names an unknown key and the nearest known one", () => {
    expect(() => load(["-taget=all"])).toThrow("unknown flag -taget; did you mean target?");
    expect(() => loadFile("server:\n  http_listen_prot: 1\n")).toThrow(
      "unknown key server.http_listen_prot; did you mean server.http_listen_port?",
    );
    expect(() => loadFile("sever: {http_listen_port: 1}\n")).toThrow("did you mean server?");
    expect(() => load(["-memberlist.jion=x"])).toThrow("did you mean memberlist.join?");
    expect(() => load(["-entirely.unlike=x"])).toThrow(/unknown flag -entirely.unlike; see -help$/);
  });
  it("names every refused option at once", () => {
    expect(() => load(["-taget=all", "-server.http-listen-port=x", "-client.tls-enabled"])).toThrow(
      /taget[^]*whole number[^]*-client\.tls-enabled is not supported: set X/,
    );
  });
  it("accepts a YAML list for a comma-separated option", () => {
    const lists = {
      ranges: str("compactor.block-ranges", "compactor.block_ranges", "", "Ranges.", { list: true }),
      one: str("a.b", "a.b", "", "One."),
    };
    const read = (...argv: string[]) => loadConfig(lists, argv, {}, known).config.ranges;
    expect(read(`-config.file=${file("compactor: {block_ranges: [1h, 2h]}\n")}`)).toBe("1h,2h");
    expect(read("-compactor.block-ranges=1h,2h")).toBe("1h,2h");
    expect(() => read(`-config.file=${file("a: {b: [1, 2]}\n")}`)).toThrow("a.b: expected a string");
  });
  it("checks options of other components, and leaves them without effect", () => {
    expect(decided("other component", loadFile("compactor: {jobs: 2}\n", "-compactor.jobs=3"))).toEqual([
      "compactor.jobs",
      "-compactor.jobs",
    ]);
    expect(() => load(["-compactor.jobs=0"])).toThrow("-compactor.jobs: expected at least 1");
    const strict = () => loadConfig(schema, ["-compactor.jobs=3"], {}, { ...known, flags: "schema" });
    expect(strict).toThrow("unknown flag -compactor.jobs");
  });
  it("decides on options of another system by their values", () => {
    const loaded = loadFile(
      "memberlist:\n  join_members: [a, b]\nclient: {tls_enabled: false, timeout: 60s}\nlimits: {rules: {}}\n",
      "-stats.enabled=false",
      "-client.timeout=2m0s",
      "-memberlist.join=",
    );
    expect(decided("meaningless", loaded)).toEqual(["memberlist.join_members"]);
    expect(decided("warned", loaded)).toEqual(["-stats.enabled"]);
    expect(decided("fits", loaded)).toEqual([
      "client.tls_enabled",
      "client.timeout",
      "limits.rules",
      "-client.timeout",
      "-memberlist.join",
    ]);
    expect(() => loadFile("client: {timeout: 3m}\n")).toThrow("client.timeout is not supported: set Y");
    expect(() => loadFile("limits: {rules: [a]}\n")).toThrow("limits.rules is not supported: set Z");
    expect(() => load(["-stats.enabled=maybe"])).toThrow("-stats.enabled: expected true or false");
    expect(() => load(["-client.timeout=soon"])).toThrow("-client.timeout: expected a duration");
    expect(() => loadFile("stats: {enabled: {a: 1}}\n")).toThrow("expected a bool");
  });
  it("maps another name of an option, and refuses two different values", () => {
    const loaded = loadFile("storage: {storage_prefix: old}\n");
    expect(loaded.config.prefix).toBe("old");
    expect(loaded.decisions).toEqual([
      { name: "storage.storage_prefix", is: "mapped", text: "-storage.prefix" },
    ]);
    expect(load(["-storage.storage-prefix=old", "-storage.prefix=old"]).config.prefix).toBe("old");
    expect(() => load(["-storage.storage-prefix=old", "-storage.prefix=new"])).toThrow(
      "-storage.prefix and -storage.storage-prefix set the same option to different values",
    );
    // A flag wins over the file, whichever name either has.
    expect(loadFile("storage: {prefix: new}\n", "-storage.storage-prefix=old").config.prefix).toBe("old");
  });
  it("lists the decisions instead of throwing with -config.check", () => {
    const loaded = load([
      "-config.check",
      "-taget=all",
      "-client.tls-enabled",
      "-target=x",
      "-compactor.jobs=1",
    ]);
    expect(loaded.check).toBe(true);
    expect(decisionsText(loaded.decisions)).toBe(
      `refused: 2
  -taget: unknown flag -taget; did you mean target?; see -help
  -client.tls-enabled: -client.tls-enabled is not supported: set X
of another component: 1
  -compactor.jobs
taken: 1
  -target
`,
    );
  });
  it.each([
    ["-server.http-listen-port=x", "expected a whole number"],
    ["-server.http-listen-port=-1", "at least 0"],
    ["-validation.reject-older-than=soon", "a duration"],
    ["-auth.multitenancy-enabled=maybe", "true or false"],
    ["-help=maybe", "true or false"],
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
