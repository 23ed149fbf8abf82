/** Kind of profile of a push: values of a `cpu` profile add up, a `heap` profile is cumulative. */
export type Kind = "cpu" | "heap";

/**
 * A profile with one unique stack. The stack's value in an answer shows how often the profile was counted.
 */
export interface Push {
  /** name of the innermost frame of its stack */
  readonly id: string;
  readonly kind: Kind;
  readonly service: string;
  /** value of the stack if counted once; 0: the profile is only the baseline of its series */
  readonly value: number;
  readonly begunMs: number;
  acknowledgedMs: number | undefined;
  /** results of the attempts, as text */
  readonly attempts: string[];
}

/** A stack that grows in each profile of a cumulative series. */
export interface Growth {
  readonly id: string;
  /** growth since the baseline, by profile, in the order of the pushes */
  readonly steps: Step[];
}

export interface Step {
  /** push of the profile */
  readonly push: string;
  readonly total: number;
  acknowledgedMs: number | undefined;
}

/** Reply to one query, as its client saw it. */
export interface Answer {
  readonly kind: Kind;
  readonly strong: boolean;
  readonly askedMs: number;
  readonly answeredMs: number;
  readonly status: number;
  /** the reason why the answer is partial; empty: the answer claims to be complete */
  readonly partial: string;
  /** innermost frame -> value */
  readonly values: ReadonlyMap<string, number>;
  /** the frontend that answered */
  readonly by: string;
}

export interface Fault {
  readonly name: string;
  readonly begunMs: number;
  endedMs: number | undefined;
}

/** All actions and answers of the clients, and the faults meanwhile. */
export class History {
  readonly startMs = Date.now();
  readonly pushes = new Map<string, Push>();
  readonly growths = new Map<string, Growth>();
  readonly faults: Fault[] = [];
  /**
   * Number of additions of partitions. Each may cost a moved service one difference: without a profile in the
   * hand-over period, the first profile in the new partition is only a baseline (docs/correctness.md, "One
   * partition counts growth").
   */
  moves = 0;
  private readonly notes: { atMs: number; text: string }[] = [];

  push(id: string, kind: Kind, service: string, value: number): Push {
    const p: Push = {
      id,
      kind,
      service,
      value,
      begunMs: Date.now(),
      acknowledgedMs: undefined,
      attempts: [],
    };
    this.pushes.set(id, p);
    return p;
  }

  note(text: string): void {
    this.notes.push({ atMs: Date.now(), text });
  }

  /** Runs a fault and records its time. */
  async fault(name: string, happen: () => Promise<void>): Promise<void> {
    const f: Fault = { name, begunMs: Date.now(), endedMs: undefined };
    this.faults.push(f);
    try {
      await happen();
    } finally {
      f.endedMs = Date.now();
    }
  }

  get acknowledged(): number {
    let n = 0;
    for (const p of this.pushes.values()) if (p.acknowledgedMs !== undefined) n++;
    return n;
  }

  /** Seconds since the start of the history. */
  time(ms: number): string {
    return `${((ms - this.startMs) / 1000).toFixed(3)} s`;
  }

  /** The pushes, faults and notes around one push, in order of time. */
  around(id: string, spanMs = 1500): string {
    const centre = this.pushes.get(id);
    if (!centre) return `${id} was never pushed`;
    const from = centre.begunMs - spanMs,
      to = (centre.acknowledgedMs ?? centre.begunMs) + spanMs;
    const lines: { at: number; text: string }[] = [];
    const near = [...this.pushes.values()].filter((p) => p.begunMs >= from && p.begunMs <= to),
      at = near.indexOf(centre);
    for (const p of near.slice(Math.max(0, at - 4), at + 5))
      lines.push({
        at: p.begunMs,
        text: `${p === centre ? ">" : " "} push ${p.id} (${p.service}, value ${p.value}): ${p.attempts.join("; ")}${p.acknowledgedMs === undefined ? "" : `, acknowledged at ${this.time(p.acknowledgedMs)}`}`,
      });
    for (const f of this.faults)
      if (f.begunMs <= to && (f.endedMs ?? Infinity) >= from) {
        lines.push({ at: f.begunMs, text: `  fault begins: ${f.name}` });
        if (f.endedMs !== undefined) lines.push({ at: f.endedMs, text: `  fault ends: ${f.name}` });
      }
    for (const n of this.notes)
      if (n.atMs >= from && n.atMs <= to) lines.push({ at: n.atMs, text: `  ${n.text}` });
    return lines
      .sort((a, b) => a.at - b.at)
      .map((l) => `${this.time(l.at).padStart(10)} ${l.text}`)
      .join("\n");
  }
}
