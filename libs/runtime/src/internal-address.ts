import { createServer } from "node:net";
import { networkInterfaces } from "node:os";

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
export async function internalPortOf(c: AddressConfig): Promise<number> {
  if (c.internalPort !== 0) return c.internalPort;
  const preferred = c.httpPort + ABOVE > 65535 ? c.httpPort - ABOVE : c.httpPort + ABOVE;
  // Other processes find it by a DNS name and a common port instead of the ring, so the port must be fixed.
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

/** Host at which other processes reach this one. */
export function advertisedHost(c: Pick<AddressConfig, "instanceAddr">, listenAddress: string): string {
  if (c.instanceAddr !== "") return c.instanceAddr;
  if (listenAddress !== "" && listenAddress !== "0.0.0.0" && listenAddress !== "::") return listenAddress;
  const external = Object.values(networkInterfaces())
    .flat()
    .find((i) => i !== undefined && i.family === "IPv4" && !i.internal)?.address;
  return external ?? "127.0.0.1";
}
