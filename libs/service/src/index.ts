export { type LoopConfig, periodic } from "./loop.ts";

/**
 * A long-lived part of a process. Constructors only store their arguments; expensive work happens in `start`.
 */
export interface Service {
  readonly name: string;
  /** resolves once the service is ready; a rejection fails the process */
  start(): Promise<void>;
  /** ends the service; may be called twice. A group stops its services in reverse start order */
  stop(): Promise<void>;
}

/** Lifecycle state of a service. Terminated and Failed are final. */
export type ServiceState = "New" | "Starting" | "Running" | "Stopping" | "Terminated" | "Failed";

/**
 * Starts services in order and stops them in reverse; tracks the state of each. A stop during the start stops
 * the running services and starts no more; the end of the process ends a service that is starting.
 */
export class ServiceGroup {
  private stopped = false;
  private readonly states = new Map<string, ServiceState>();
  private readonly services: readonly Service[];
  constructor(services: readonly Service[]) {
    this.services = services;
    for (const s of services) this.states.set(s.name, "New");
  }

  async start(): Promise<void> {
    for (const s of this.services) {
      if (this.stopped) return;
      this.states.set(s.name, "Starting");
      try {
        await s.start();
      } catch (err) {
        this.states.set(s.name, "Failed");
        throw err;
      }
      this.states.set(s.name, "Running");
    }
  }

  /** Stops all services, running or failed; throws the first error after all have stopped. */
  async stop(): Promise<void> {
    this.stopped = true;
    let first: unknown;
    for (const s of [...this.services].reverse()) {
      const state = this.states.get(s.name);
      if (state !== "Running" && state !== "Failed") continue;
      this.states.set(s.name, "Stopping");
      try {
        await s.stop();
        this.states.set(s.name, "Terminated");
      } catch (err) {
        this.states.set(s.name, "Failed");
        first ??= err;
      }
    }
    if (first !== undefined) throw first;
  }

  /** Services that are not running, for /ready. */
  notRunning(): { name: string; state: ServiceState }[] {
    return [...this.states].filter(([, s]) => s !== "Running").map(([name, state]) => ({ name, state }));
  }
}
