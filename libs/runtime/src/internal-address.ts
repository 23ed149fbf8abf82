import { createServer } from "node:net";
import { networkInterfaces } from "node:os";

/** The addresses at which a process listens, and the address that other processes use. */
export interface AddressConfig {
  httpAddress: string;
  httpPort: number;
  internalAddress: string;
  internalPort: number;
  instanceAddr: string;
  schedulerDiscovery: string;
}

/** How far above the public port the internal one is by default. */
const ABOVE = 1000;

export function internalListenAddress(c: Pick<AddressConfig, "internalAddress" | "httpAddress">): string {
  return c.internalAddress !== "" ? c.internalAddress : c.httpAddress;
}

/**
 * The port for internal methods: the configured port; else a port that follows from the public port and so stays the same
 * over a restart; else any free port. Processes of one machine differ in their public ports alone.
 */
export async function internalPortOf(c: AddressConfig): Promise<number> {
  if (c.internalPort !== 0) return c.internalPort;
  const preferred = c.httpPort + ABOVE > 65535 ? c.httpPort - ABOVE : c.httpPort + ABOVE;
  // Found by a name and a port that all know, not in the ring: it cannot be any port.
  if (c.schedulerDiscovery === "dns") return preferred;
  return (await isFree(internalListenAddress(c), preferred)) ? preferred : 0;
}

function isFree(address: string, port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = createServer();
    probe.once("error", () => done(false));
    probe.listen(port, address === "" ? "::" : address, () => probe.close(() => done(true)));
  });
}

/** The host that other processes reach this one at. */
export function advertisedHost(c: Pick<AddressConfig, "instanceAddr">, listenAddress: string): string {
  if (c.instanceAddr !== "") return c.instanceAddr;
  if (listenAddress !== "" && listenAddress !== "0.0.0.0" && listenAddress !== "::") return listenAddress;
  const external = Object.values(networkInterfaces())
    .flat()
    .find((i) => i !== undefined && i.family === "IPv4" && !i.internal)?.address;
  return external ?? "127.0.0.1";
}
