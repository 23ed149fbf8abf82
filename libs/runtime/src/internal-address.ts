import { createServer } from "node:net";
import { networkInterfaces, type NetworkInterfaceInfo } from "node:os";
import { bindHost } from "@cinderblock/rpc";

/** Addresses where a process listens, and the address that other processes use. */
export interface AddressConfig {
  httpAddress: string;
  httpPort: number;
  internalAddress: string;
  internalPort: number;
  instanceAddr: string;
  schedulerDiscovery: string;
}

/** Default distance from the public port to the internal port. */
const ABOVE = 1000;

/** Address where the listener of internal methods binds. */
export function internalListenAddress(c: Pick<AddressConfig, "internalAddress" | "httpAddress">): string {
  return c.internalAddress !== "" ? c.internalAddress : c.httpAddress;
}

/**
 * Port for internal methods: the configured port; otherwise a port derived from the public port, which is the
 * same after a restart; otherwise any free port. Processes on one machine need to differ only in their public
 * ports.
 */
export async function chooseInternalPort(c: AddressConfig): Promise<number> {
  if (c.internalPort !== 0) return c.internalPort;
  const preferred = c.httpPort + ABOVE > 65535 ? c.httpPort - ABOVE : c.httpPort + ABOVE;
  // With DNS discovery, others reach a query-scheduler by a DNS name and a common port: keep the port fixed.
  if (c.schedulerDiscovery === "dns") return preferred;
  return (await isFree(internalListenAddress(c), preferred)) ? preferred : 0;
}

async function isFree(address: string, port: number): Promise<boolean> {
  const host = await bindHost(address);
  return new Promise((done) => {
    const probe = createServer();
    probe.once("error", () => done(false));
    probe.listen(port, host, () => probe.close(() => done(true)));
  });
}

/** Addresses to listen on that stand for all addresses of a host. */
const ALL: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);

/**
 * Host at which other processes reach this one, without brackets. If none is configured: an address of IPv4,
 * else a global one of IPv6, else the loopback address of the family that the host has.
 */
export function advertisedHost(
  c: Pick<AddressConfig, "instanceAddr">,
  listenAddress: string,
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces(),
): string {
  const configured = [c.instanceAddr, listenAddress].map(unbracketed).find((a) => !ALL.has(a));
  if (configured !== undefined) return configured;
  const all = Object.values(interfaces).flatMap((i) => i ?? []),
    external = all.filter((i) => !i.internal && !isLinkLocal(i.address)),
    first = (list: readonly NetworkInterfaceInfo[], family: string): string | undefined =>
      list.find((i) => i.family === family)?.address;
  return (
    first(external, "IPv4") ??
    first(external, "IPv6") ??
    (first(all, "IPv4") === undefined && first(all, "IPv6") !== undefined ? "::1" : "127.0.0.1")
  );
}

/** Whether an address of IPv6 is only valid together with a network interface. */
function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(address);
}

function unbracketed(host: string): string {
  return /^\[(.*)\]$/.exec(host)?.[1] ?? host;
}

/** `host:port`, with brackets around an address of IPv6. */
export function hostAndPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
