import { BodyBudget } from "./body-budget.ts";
import type { ServerConfig } from "./server.ts";

/** Configuration of a server on loopback, for tests. */
export function testServer(own: Partial<ServerConfig> = {}): ServerConfig {
  return {
    address: "127.0.0.1",
    port: 0,
    protocol: "http",
    multitenancy: true,
    readTimeoutMs: 30_000,
    idleTimeoutMs: 30_000,
    writeTimeoutMs: 30_000,
    shutdownTimeoutMs: 100,
    maxConnections: 100,
    maxConcurrentStreams: 10,
    maxHeaderBytes: 64 << 10,
    largeHeadersBytes: 4 << 20,
    bodies: new BodyBudget(1000),
    internalBodies: { budget: new BodyBudget(1000), limitBytes: 1000 },
    ...own,
  };
}
