import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { CinderblockError } from "@cinderblock/errors";
import { InMemoryMembers } from "@cinderblock/redis";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { freePort, temporaryFolder } from "@cinderblock/testkit";
import { advertisedHost, hostAndPort, chooseInternalPort } from "./internal-address.ts";
import type { NetworkInterfaceInfo } from "node:os";
import {
  checkInternalTokens,
  internalCredentialsOf,
  parseInternalTokens,
  SharedToken,
  TokenFile,
} from "./internal-tokens.ts";

const OLD = "old-token-0123456789",
  NEW = "new-token-0123456789";
const base = () => ({
  log: createLogger({ level: "silent", format: "json" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => 0,
});

/** A store that can be away, and that counts its calls. */
class Store extends InMemoryMembers {
  away = false;
  asked = 0;
  override putIfAbsent(name: string, value: string): Promise<string> {
    this.asked++;
    return this.away
      ? Promise.reject(new CinderblockError("unavailable", "away"))
      : super.putIfAbsent(name, value);
  }
}

describe("the internal token from flags", () => {
  it("comes from one of two flags, with a minimum length", () => {
    const file = join(temporaryFolder(), "token");
    writeFileSync(file, `# in force\n${NEW}\n\n${OLD}\n`);
    checkInternalTokens({ internalToken: "", internalTokenPath: "" });
    checkInternalTokens({ internalToken: NEW, internalTokenPath: "" });
    checkInternalTokens({ internalToken: "", internalTokenPath: file });
    const refused =
      (internalToken: string, internalTokenPath: string): (() => void) =>
      () =>
        checkInternalTokens({ internalToken, internalTokenPath });
    expect(refused(NEW, file)).toThrow("mutually exclusive");
    expect(refused("short", "")).toThrow("at least 16 printable characters");
    expect(refused("", `${file}.not-there`)).toThrow("-auth.internal-token-file: ENOENT");
    expect(parseInternalTokens(readFileSync(file, "utf8"), "f")).toEqual([NEW, OLD]);
    for (const bad of ["", "# none\n", `${NEW}\n${OLD}\nthird-token-0123456789`, "a token with blanks in it"])
      expect(() => parseInternalTokens(bad, "f")).toThrow(expect.objectContaining({ kind: "invalid" }));
  });

  it("is reloaded from its file, sends the first token and accepts both; an invalid file changes nothing", () => {
    const file = join(temporaryFolder(), "token");
    let now = 0;
    writeFileSync(file, OLD);
    const tokens = new TokenFile(file, base(), () => now);
    const state = (): [string | undefined, boolean, boolean] => [
      tokens.current(),
      tokens.accepts(OLD),
      tokens.accepts(NEW),
    ];
    expect(state()).toEqual([OLD, true, false]);
    writeFileSync(file, `${OLD}\n${NEW}`);
    expect(state()).toEqual([OLD, true, false]);
    now += 10_000;
    expect(state()).toEqual([OLD, true, true]);
    writeFileSync(file, `${NEW}\n${OLD}`);
    void tokens.refresh();
    expect(state()).toEqual([OLD, true, true]); // it has just checked
    now += 1000;
    void tokens.refresh();
    expect(state()).toEqual([NEW, true, true]);
    writeFileSync(file, "x");
    now += 10_000;
    expect(state()).toEqual([NEW, true, true]);
    rmSync(file);
    now += 10_000;
    expect(state()).toEqual([NEW, true, true]);
    writeFileSync(file, NEW);
    now += 10_000;
    expect(state()).toEqual([NEW, false, true]);
  });
});

describe("the internal token shared through the ring store", () => {
  it("is created by the first process, adopted by the others, and survives an unreachable or emptied store", async () => {
    const store = new Store();
    let now = 0;
    const shared = (): SharedToken => new SharedToken(store, 5000, base(), () => now);
    const a = shared(),
      b = shared();
    expect(a.current()).toBeUndefined();
    expect(a.accepts("")).toBe(false);
    await Promise.all([a.refresh(), b.refresh()]);
    const token = a.current()!;
    expect(token.length).toBeGreaterThan(40);
    expect([b.current(), b.accepts(token)]).toEqual([token, true]);
    store.away = true;
    now += 1000;
    await a.refresh();
    expect(a.current()).toBe(token);
    // Redis returns empty: the first process to read stores the current token.
    const emptied = new Store();
    Object.assign(a, { store: emptied });
    Object.assign(b, { store: emptied });
    now += 1000;
    await b.refresh();
    await a.refresh();
    expect([a.current(), b.current()]).toEqual([token, token]);
  });

  it("changes when a new process is first in an emptied store; the last token stays accepted meanwhile", async () => {
    const store = new Store();
    let now = 0;
    const a = new SharedToken(store, 5000, base(), () => now);
    await a.refresh();
    const before = a.current()!;
    const emptied = new Store(),
      fresh = new SharedToken(emptied, 5000, base(), () => now);
    await fresh.refresh();
    Object.assign(a, { store: emptied });
    now += 1000;
    await a.refresh();
    expect(a.current()).toBe(fresh.current());
    expect([a.accepts(before), fresh.accepts(before)]).toEqual([true, false]);
  });

  it("queries the store at most once per second, for any number of wrong tokens", async () => {
    const store = new Store();
    let now = 0;
    const a = new SharedToken(store, 5000, base(), () => now);
    await Promise.all(Array.from({ length: 50 }, () => a.refresh()));
    await a.refresh();
    expect(store.asked).toBe(1);
    now += 1000;
    await Promise.all(Array.from({ length: 50 }, () => a.refresh()));
    expect(store.asked).toBe(2);
  });

  it("yields to a configured token", () => {
    const store = new Store();
    const fixed = internalCredentialsOf({ internalToken: NEW, internalTokenPath: "" }, store, 5000, base());
    expect([fixed.current(), fixed.accepts(NEW), fixed.accepts(OLD)]).toEqual([NEW, true, false]);
    expect(store.asked).toBe(0);
  });
});

describe("the internal port", () => {
  const config = {
    httpAddress: "127.0.0.1",
    httpPort: 4040,
    internalAddress: "",
    internalPort: 0,
    instanceAddr: "",
    schedulerDiscovery: "ring",
  };
  it("is derived from the public port, so that it is the same after a restart, unless it is in use", async () => {
    const port = await freePort(),
      free = port - 1000;
    expect(await chooseInternalPort({ ...config, httpPort: free })).toBe(port);
    const other = createServer();
    await new Promise<void>((done) => {
      other.listen(port, "127.0.0.1", done);
    });
    try {
      expect(await chooseInternalPort({ ...config, httpPort: free })).toBe(0);
      // Other processes find it by name, and no ring tells them another port.
      expect(await chooseInternalPort({ ...config, httpPort: free, schedulerDiscovery: "dns" })).toBe(port);
      expect(await chooseInternalPort({ ...config, httpPort: free, internalPort: 9095 })).toBe(9095);
    } finally {
      other.close();
    }
    expect(await chooseInternalPort({ ...config, httpPort: 65_000, schedulerDiscovery: "dns" })).toBe(64_000);
  });
  it("is advertised with the host that other processes reach", () => {
    expect(advertisedHost({ instanceAddr: "10.0.0.7" }, "127.0.0.1")).toBe("10.0.0.7");
    expect(advertisedHost({ instanceAddr: "" }, "127.0.0.1")).toBe("127.0.0.1");
    expect(advertisedHost({ instanceAddr: "" }, "0.0.0.0")).not.toBe("0.0.0.0");
    expect(advertisedHost({ instanceAddr: "[fd00::7]" }, "")).toBe("fd00::7");
    expect(advertisedHost({ instanceAddr: "" }, "[fd00::8]")).toBe("fd00::8");
    const address = (family: string, address: string, internal = false): NetworkInterfaceInfo =>
      ({ family, address, internal }) as NetworkInterfaceInfo;
    const lo4 = address("IPv4", "127.0.0.1", true),
      lo6 = address("IPv6", "::1", true),
      link = address("IPv6", "fe80::1"),
      v6 = address("IPv6", "fd00::5"),
      v4 = address("IPv4", "10.0.0.5");
    for (const listen of ["", "0.0.0.0", "::", "[::]"]) {
      const found = (...list: NetworkInterfaceInfo[]): string =>
        advertisedHost({ instanceAddr: "" }, listen, { a: list, b: undefined });
      expect([
        found(lo4, lo6, link, v6, v4),
        found(lo6, link, v6),
        found(lo4, lo6, link),
        found(lo6, link),
        found(),
      ]).toEqual(["10.0.0.5", "fd00::5", "127.0.0.1", "::1", "127.0.0.1"]);
    }
    expect([hostAndPort("10.0.0.5", 1), hostAndPort("fd00::5", 2), hostAndPort("name", 3)]).toEqual([
      "10.0.0.5:1",
      "[fd00::5]:2",
      "name:3",
    ]);
  });
});
