import { existsSync, readFileSync } from "node:fs";
import { randomBytes, randomInt } from "node:crypto";
import { messageOf } from "@cinderblock/errors";
import { isUnwritable, replaceFileSync } from "@cinderblock/files";
import type { MemberStore } from "@cinderblock/redis";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { decodeMember, encodeMember, registeredLater, type Member, type MemberState } from "./member.ts";

const isToken = (t: unknown): t is number =>
  typeof t === "number" && Number.isInteger(t) && t >= 0 && t < 2 ** 32;

/** Identity, tokens and heartbeat period of a ring member. */
export interface RingMemberConfig {
  ring: string;
  id: string;
  /** host:port at which other processes reach this one; evaluated at registration */
  address: () => string;
  zone: string;
  tokens: number;
  /** file that keeps the ring tokens over a restart; "": none */
  tokensFile: string;
  heartbeatMs: number;
  /** whether a clean stop removes the member from the ring */
  unregister: boolean;
  /** called when another process registers under this name later: this process has to stop */
  onSuperseded?: () => void;
}

/** Attempts per heartbeat when another process has changed the entry. */
const SWAPS = 5;
/** Minimum deadline of one heartbeat. */
const BEAT_DEADLINE_MS = 10_000;

/**
 * This process as a member of a ring: registers, sends heartbeats, leaves. While the store is unavailable,
 * each heartbeat tries again. Entries are written by compare-and-set: of two processes with one name, the
 * later one keeps it. The earlier one continues as LEAVING under a unique name, so that reads find its data
 * until it has handed them over, and stops.
 */
export class RingMember implements Service {
  readonly name: string;
  private readonly member: Member;
  private readonly loop;
  /** error of the last heartbeat; undefined if it was accepted */
  private failure: unknown;
  /** time of the last accepted heartbeat; 0: none yet */
  private acceptedMs = 0;
  private everActive = false;
  /** this process's last entry in the ring; "": none */
  private written = "";
  private registered = false;
  /** another process has taken this one's name */
  superseded = false;
  private beating: Promise<void> = Promise.resolve();
  private readonly supersessions: { inc(labels: { ring: string }, n?: number): void };
  private readonly store: MemberStore;
  private readonly config: RingMemberConfig;
  private readonly base: Base;

  constructor(store: MemberStore, config: RingMemberConfig, base: Base) {
    this.name = `member of ${config.ring}`;
    this.store = store;
    this.config = config;
    this.base = base;
    this.loop = periodic(
      {
        name: `heartbeat-${config.ring}`,
        everyMs: config.heartbeatMs,
        deadlineMs: Math.max(config.heartbeatMs, BEAT_DEADLINE_MS),
      },
      async () => {
        await this.beat();
        if (this.failure !== undefined) throw this.failure;
      },
      base,
    );
    this.member = {
      id: config.id,
      address: "",
      zone: config.zone,
      state: "JOINING",
      tokens: [],
      heartbeat: 0,
      registeredAtMs: 0,
      partitionRule: 2,
      incarnation: randomBytes(8).toString("hex"),
    };
    this.supersessions = base.metrics.counter(
      "cinderblock_ring_superseded_total",
      "Conflicts in which this process stopped because a later process registered with its instance ID.",
      ["ring"],
    );
    this.supersessions.inc({ ring: config.ring }, 0);
    base.metrics.gauge(
      "cinderblock_ring_last_heartbeat_timestamp_seconds",
      "Time of this process's last heartbeat that a ring accepted, in seconds since the epoch; 0 before the first one.",
      ["ring"],
      (g) => {
        g.set({ ring: config.ring }, this.acceptedMs / 1000);
      },
    );
  }

  get state(): MemberState {
    return this.member.state;
  }

  /**
   * Reason why other processes cannot find this member yet, for /ready; "" from the first accepted ACTIVE
   * entry on: a later outage of the store harms no running process (docs/correctness.md, "Redis holds no
   * safety").
   */
  get obstacle(): string {
    if (this.everActive) return "";
    const { ring } = this.config;
    return this.failure === undefined
      ? `this process is not ACTIVE in the ring ${ring} yet`
      : `this process is not in the ring ${ring} yet: ${messageOf(this.failure)}`;
  }

  /** Registers as JOINING; call `setState("ACTIVE")` once the component is ready. */
  async start(): Promise<void> {
    const { member, config } = this;
    member.address = config.address();
    member.registeredAtMs = this.base.now();
    member.heartbeat = this.base.now();
    member.tokens = await this.tokens();
    await this.loop.run();
    this.loop.start();
  }

  private async tokens(): Promise<number[]> {
    const { config } = this;
    let kept = this.tokensOnDisk();
    if (!kept) {
      try {
        kept = decodeMember((await this.store.read(config.ring)).get(config.id) ?? "")?.tokens;
      } catch (err) {
        this.base.log.warn({ err, ring: config.ring }, "reading the ring failed, generating new tokens");
      }
    }
    const all = new Set(kept?.slice(0, config.tokens));
    while (all.size < config.tokens) all.add(randomInt(0, 2 ** 32 - 1));
    const tokens = [...all].sort((a, b) => a - b);
    if (config.tokensFile === "") return tokens;
    try {
      replaceFileSync(config.tokensFile, JSON.stringify({ tokens }));
    } catch (err) {
      // The next start can use the tokens in the ring: a full disk must not keep an ingester from its data.
      if (!isUnwritable(err)) throw err;
      this.base.log.warn(
        { err, file: config.tokensFile, ring: config.ring },
        "ring tokens could not be saved",
      );
    }
    return tokens;
  }

  /**
   * Tokens of an earlier run. Replaces a file that a power cut left empty or truncated: tokens place writes,
   * and hold no data.
   */
  private tokensOnDisk(): number[] | undefined {
    const { tokensFile, ring } = this.config;
    if (tokensFile === "" || !existsSync(tokensFile)) return undefined;
    const text = readFileSync(tokensFile, "utf8");
    let tokens: unknown;
    try {
      tokens = (JSON.parse(text) as { tokens?: unknown } | null)?.tokens;
    } catch {
      // Reported below, like a file with other content.
    }
    if (Array.isArray(tokens) && tokens.every(isToken)) return tokens;
    this.base.log.warn(
      { file: tokensFile, sizeBytes: text.length, ring },
      "tokens file is incomplete, replacing it",
    );
    return undefined;
  }

  /** Writes the complete entry, which also restores it in an emptied store. */
  private beat(): Promise<void> {
    return (this.beating = this.beating.then(() => this.beatNow()));
  }
  private async beatNow(): Promise<void> {
    this.member.heartbeat++;
    try {
      await this.write();
      this.acceptedMs = this.base.now();
      this.failure = undefined;
    } catch (err) {
      this.failure = err; // the heartbeat loop reports the failure, and tries again
    }
  }

  private async write(): Promise<void> {
    const { member, config } = this;
    for (let tries = 0; tries < SWAPS; tries++) {
      const { state } = member,
        entry = encodeMember(member),
        found = await this.store.compareAndSwap(config.ring, member.id, this.written, entry);
      if (found === undefined) {
        this.written = entry;
        this.registered = true;
        if (state === "ACTIVE") this.everActive = true;
        return;
      }
      this.written = found;
      const other = decodeMember(found);
      // Nothing, an undecodable entry, or this process's own entry, whose acknowledgement was lost.
      if (!other || other.incarnation === member.incarnation) continue;
      // A registering process counts as later than the existing entry, whatever their clocks say.
      if (!this.registered) member.registeredAtMs = Math.max(member.registeredAtMs, other.registeredAtMs + 1);
      else if (registeredLater(other, member)) this.giveWay(other);
    }
    throw new Error("another process writes this member's ring entry");
  }

  private giveWay(other: Member): void {
    const { member, config } = this;
    this.superseded = true;
    this.supersessions.inc({ ring: config.ring });
    this.base.log.error(
      { ring: config.ring, member: member.id, address: member.address, other: other.address },
      "another process registered with this instance ID, handing over and stopping; give each process its own -ring.instance-id",
    );
    member.id = `${config.id}@${member.incarnation ?? ""}`;
    member.state = "LEAVING";
    member.tokens = [];
    this.written = "";
    config.onSuperseded?.();
  }

  get readOnly(): boolean {
    return this.member.readOnly === true;
  }
  /** Stops accepting new writes, or accepts them again. A restart resets this. */
  async setReadOnly(on: boolean): Promise<void> {
    if (on) this.member.readOnly = true;
    else delete this.member.readOnly;
    await this.beat();
  }

  async setState(state: MemberState): Promise<void> {
    if (!this.superseded) this.member.state = state;
    await this.beat();
  }

  private staying = false;
  /** Keeps the entry over a clean stop: reads must notice that this member is missing. */
  stayInRing(): void {
    this.staying = true;
  }

  async stop(): Promise<void> {
    await this.loop.stop(0);
    if (this.member.registeredAtMs === 0) return;
    if (!this.config.unregister || this.staying) {
      await this.beat();
      return;
    }
    try {
      // Send a last heartbeat first: if an acknowledgement was lost, it shows which entry is this process's.
      // An entry that another process wrote under this name is not removed.
      await this.beat();
      await this.store.remove(this.config.ring, this.member.id, this.written);
    } catch (err) {
      this.base.log.warn(
        { err, ring: this.config.ring },
        "leaving the ring failed; forget the member on the ring's page",
      );
    }
  }
}
