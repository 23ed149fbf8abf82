import { bindHost } from "./bind-host.ts";

describe("the address to bind", () => {
  const failing =
    (code: string) =>
    (host: string): Promise<void> =>
      Promise.reject(Object.assign(new Error(`listen ${code} ${host}`), { code }));
  it("is as configured, without brackets", async () => {
    for (const [address, host] of [
      ["127.0.0.1", "127.0.0.1"],
      ["::", "::"],
      ["[::]", "::"],
      ["[fd00::5]", "fd00::5"],
      ["localhost", "localhost"],
    ] as const)
      expect(await bindHost(address, failing("EAFNOSUPPORT"))).toBe(host);
  });
  it("is every address of the host, of IPv4 alone where the host has no IPv6", async () => {
    expect(await bindHost("", () => Promise.resolve())).toBe("::");
    for (const code of ["EAFNOSUPPORT", "EADDRNOTAVAIL"])
      expect(await bindHost("", failing(code))).toBe("0.0.0.0");
    await expect(bindHost("", failing("EMFILE"))).rejects.toThrow("EMFILE");
  });
});
