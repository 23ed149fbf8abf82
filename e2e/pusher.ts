import { gzipSync } from "node:zlib";
import { tinyPprof } from "@cinderblock/testkit";
import { CPU, type Server } from "./server.ts";
import { settle, until } from "./wait.ts";

export { settle, until };

/** Pushes numbered profiles of value 1 until stopped; records the acknowledged ones. */
export class Pusher {
  readonly acknowledged = new Set<number>();
  refused = 0;
  private stopped = false;
  private readonly loops: Promise<void>[];
  /** number of pushes begun, acknowledged or not */
  begun = 0;
  readonly start: number;

  /** @param start time of the first profile; each next profile is a millisecond later */
  constructor(
    to: () => Server[],
    loops: number,
    start = Math.floor(Date.now() / 3600_000) * 3600_000 - 1800_000,
    headers: Record<string, string> = {},
    services = 5,
  ) {
    this.start = start;
    this.loops = Array.from({ length: loops }, async (_, k) => {
      while (!this.stopped) {
        const id = this.begun++,
          at = this.start + id;
        const body = gzipSync(
          tinyPprof({
            stacks: [{ frames: ["main", `f${id % 7}`], values: [1] }],
            timeNanos: BigInt(at) * 1_000_000n,
          }),
        );
        const all = to();
        try {
          const r = await fetch(`${all[(id + k) % all.length]!.url}/push.v1.PusherService/Push`, {
            method: "POST",
            headers: { "content-type": "application/json", ...headers },
            body: JSON.stringify({
              series: [
                {
                  labels: [
                    { name: "__name__", value: "process_cpu" },
                    { name: "service_name", value: `s${id % services}` },
                  ],
                  samples: [{ rawProfile: body.toString("base64") }],
                },
              ],
            }),
          });
          if (r.status === 200) this.acknowledged.add(id);
          else {
            this.refused++;
            await new Promise((w) => {
              setTimeout(w, 50);
            });
          }
        } catch {
          this.refused++;
          await new Promise((w) => {
            setTimeout(w, 50);
          });
        }
      }
    });
  }
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.loops);
  }
}

/** The sum of all profiles of a pusher, as answered by a frontend. */
export async function total(
  frontend: Server,
  pusher: Pusher,
  headers: Record<string, string> = {},
  profileTypeID = CPU,
): Promise<{ sum: number; partial: string; status: number; text: string }> {
  const r = await fetch(`${frontend.url}/querier.v1.QuerierService/SelectMergeStacktraces`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({
      profileTypeID,
      labelSelector: "{}",
      start: String(pusher.start - 1000),
      end: String(pusher.start + 1_000_000),
    }),
  });
  const text = await r.text();
  const body = JSON.parse(text) as { flamegraph?: { total?: string } };
  return {
    sum: Number(body.flamegraph?.total ?? 0),
    partial: r.headers.get("x-cinderblock-partial") ?? "",
    status: r.status,
    text,
  };
}
