import { hostname } from "node:os";

/** Name of a process in rings and spans: the configured one, or host name and port. */
export function instanceIdOf(config: { instanceId: string; httpPort: number }): string {
  return config.instanceId !== "" ? config.instanceId : `${hostname()}-${config.httpPort}`;
}
