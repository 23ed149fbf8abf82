import type { Routes } from "@cinderblock/rpc";
import type { RingView } from "./ring-view.ts";

const escape = (s: string): string => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** A ring as a page for people and as JSON (`Accept: application/json`), and the form that forgets a member. */
export function ringRoutes(path: string, view: RingView): Routes {
  const rows = (): { id: string; state: string; address: string; zone: string; tokens: number; registeredAt: string; share: number }[] => {
    const s = view.snapshot;
    const all = s.members.flatMap((m) => m.tokens.map((t) => ({ t, id: m.id }))).sort((a, b) => a.t - b.t);
    const owned = new Map<string, number>();
    // A token owns what lies between the one before and itself.
    all.forEach((x, i) => { owned.set(x.id, (owned.get(x.id) ?? 0) + (x.t - (i === 0 ? all.at(-1)!.t - 2 ** 32 : all[i - 1]!.t))); });
    return s.members.map((m) => ({ id: m.id, state: s.healthy(m) ? `${m.state}${m.readOnly ? " (read-only)" : ""}` : "Unhealthy", address: m.address, zone: m.zone, tokens: m.tokens.length, registeredAt: new Date(m.registeredAtMs).toISOString(), share: (owned.get(m.id) ?? 0) / 2 ** 32 }));
  };
  return {
    http: (app) => {
      app.addContentTypeParser("application/x-www-form-urlencoded", { parseAs: "string" }, (_request, body, done) => { done(null, Object.fromEntries(new URLSearchParams(String(body)))); });
      app.get(path, async (request, reply) => {
        if ((request.headers.accept ?? "").includes("json")) { await reply.type("application/json").send(JSON.stringify({ name: view.ring, members: rows() })); return; }
        const table = rows().map((m) => `<tr><td>${escape(m.id)}<td>${escape(m.zone)}<td>${m.state}<td>${escape(m.address)}<td>${m.registeredAt}<td>${m.tokens}<td>${(m.share * 100).toFixed(1)} %<td><form method="post"><button name="forget" value="${escape(m.id)}">Forget</button></form>`).join("");
        await reply.type("text/html; charset=utf-8").header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'").send(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Ring ${escape(view.ring)}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ddd}</style>
<h1>Ring ${escape(view.ring)}</h1><table><tr><th>Instance<th>Zone<th>State<th>Address<th>Registered<th>Tokens<th>Owns<th></tr>${table}</table></html>`);
      });
      app.post(path, async (request, reply) => {
        const id = (request.body as Record<string, string> | undefined)?.forget ?? "";
        if (id === "") { await reply.code(400).type("text/plain").send("name the member: forget=ID\n"); return; }
        await view.forget(id);
        await view.refresh();
        await reply.code(303).header("location", path).send();
      });
    },
  };
}
