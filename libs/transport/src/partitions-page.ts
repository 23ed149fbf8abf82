import type { Routes } from "@cinderblock/rpc";
import type { PartitionState } from "./partitions.ts";

const escape = (s: string): string => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;

/** Partitions, owners, offsets and lag as a page for people and as JSON (`Accept: application/json`). */
export function partitionRoutes(states: () => readonly PartitionState[]): Routes {
  return {
    http: (app) => {
      app.get("/partitions", async (request, reply) => {
        const all = states();
        if ((request.headers.accept ?? "").includes("json")) { await reply.type("application/json").send(JSON.stringify({ partitions: all })); return; }
        const rows = all.map((s) => `<tr><td>${s.partition}<td>${escape(s.owner)}<td>${s.committed}<td>${s.position}<td>${s.end}<td>${Math.max(0, s.end - s.position)}<td>${seconds(s.lagMs)}<td>${seconds(s.unuploadedAgeMs)}`).join("");
        await reply.type("text/html; charset=utf-8").header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'").send(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Partitions</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ddd}</style>
<h1>Partitions</h1><p>Records below “in the bucket” are in blocks there; those below “read” are on the owner's disk.</p><table><tr><th>Partition<th>Owner<th>In the bucket<th>Read<th>End<th>Records behind<th>Behind by<th>Oldest not in the bucket</tr>${rows}</table></html>`);
      });
    },
  };
}
