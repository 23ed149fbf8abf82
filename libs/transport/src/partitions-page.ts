import { html, type Routes, sendPage, table, wantsJson } from "@cinderblock/rpc";
import type { PartitionState } from "./partitions.ts";

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;

/** Partitions, owners, offsets and lag as a page for people and as JSON (`Accept: application/json`). */
export function partitionRoutes(states: () => readonly PartitionState[]): Routes {
  return {
    http: (app) => {
      app.get("/partitions", async (request, reply) => {
        const all = states();
        if (wantsJson(request)) {
          await reply.type("application/json").send(JSON.stringify({ partitions: all }));
          return;
        }
        const rows = all.map((s) => [
          s.partition,
          s.owner,
          s.committed,
          s.position,
          s.end,
          Math.max(0, s.end - s.position),
          seconds(s.lagMs),
          seconds(s.unuploadedAgeMs),
        ]);
        await sendPage(
          request,
          reply,
          "Partitions",
          html`<p>Records below “In the bucket” are in uploaded blocks; records below “Read” are in the owner's log.</p>${table(["Partition", "Owner", "In the bucket", "Read", "End", "Records behind", "Behind by", "Oldest not in the bucket"], rows)}`,
        );
      });
    },
  };
}
