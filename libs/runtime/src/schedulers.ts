import { lookup } from "node:dns/promises";
import { CinderblockError } from "@cinderblock/errors";
import type { RingView } from "@cinderblock/ring";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";

/** Interval between DNS lookups, as in v1. */
const LOOKUP_MS = 10_000;

/** Addresses of the query-schedulers: members of their ring, or the addresses of a DNS name. */
export interface Schedulers {
  addresses(): string[];
}

/**
 * All ACTIVE members, or the `most` oldest of them, so that all frontends and queriers use the same
 * schedulers.
 */
export class RingSchedulers implements Schedulers {
  private readonly ring: RingView;
  private readonly most: number;
  constructor(ring: RingView, most: number) {
    this.ring = ring;
    this.most = most;
  }
  addresses(): string[] {
    const { active } = this.ring.snapshot;
    const chosen =
      this.most > 0 && this.most < active.length
        ? [...active]
            .sort((a, b) => a.registeredAtMs - b.registeredAtMs || (a.id < b.id ? -1 : 1))
            .slice(0, this.most)
        : active;
    return chosen.map((m) => m.address);
  }
}

/** All addresses of a DNS name, looked up periodically. While DNS is away, the last addresses stay. */
export class DnsSchedulers implements Schedulers, Service {
  readonly name = "query-schedulers by DNS";
  private known: string[] = [];
  private readonly loop;
  private readonly host: string;
  private readonly port: string;
  private readonly base: Base;

  constructor(address: string, base: Base) {
    const [, host, port] = /^(?:dns:\/+)?\[?(.*?)\]?:(\d+)$/.exec(address) ?? [];
    if (host === undefined || port === undefined)
      throw new CinderblockError(
        "invalid",
        `-query-scheduler.service-discovery-mode=dns needs -query-frontend.scheduler-address or -querier.scheduler-address as host:port, found ${JSON.stringify(address)}`,
      );
    this.host = host;
    this.port = port;
    this.base = base;
    this.loop = periodic(
      { name: "scheduler-lookup", everyMs: LOOKUP_MS, deadlineMs: 3 * LOOKUP_MS },
      () => this.look(),
      base,
    );
  }

  async start(): Promise<void> {
    await this.look();
    this.loop.start();
  }

  private async look(): Promise<void> {
    try {
      const found = await lookup(this.host, { all: true });
      this.known = [
        ...new Set(
          found.map(({ address, family }) => `${family === 6 ? `[${address}]` : address}:${this.port}`),
        ),
      ].sort();
    } catch (err) {
      this.base.log.warn(
        { err, host: this.host },
        "DNS lookup of query-schedulers failed, keeping the last known addresses",
      );
    }
  }

  addresses(): string[] {
    return this.known;
  }
  stop(): Promise<void> {
    return this.loop.stop(0).then(() => undefined);
  }
}
