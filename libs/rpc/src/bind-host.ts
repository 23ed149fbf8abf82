import { createServer } from "node:net";

/** Codes of a host without IPv6: the kernel lacks the family, or the loopback interface has no address of it. */
const NO_IPV6: ReadonlySet<string | undefined> = new Set([
  "EAFNOSUPPORT",
  "EADDRNOTAVAIL",
  "EPROTONOSUPPORT",
]);

/**
 * Host to bind for a configured address, which may have brackets. An empty address stands for all addresses
 * of the host: of IPv6, which includes IPv4, or of IPv4 alone on a host without IPv6.
 */
export function bindHost(address: string, probe: (host: string) => Promise<void> = bind): Promise<string> {
  const host = /^\[(.*)\]$/.exec(address)?.[1] ?? address;
  if (host !== "") return Promise.resolve(host);
  return probe("::").then(
    () => "::",
    (err: NodeJS.ErrnoException) => {
      if (NO_IPV6.has(err.code)) return "0.0.0.0";
      throw err;
    },
  );
}

/** Binds any free port and releases it. */
function bind(host: string): Promise<void> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once("error", fail);
    server.listen(0, host, () => server.close(() => done()));
  });
}
