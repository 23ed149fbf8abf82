import { html, type Routes, sendPage, table, wantsJson } from "@cinderblock/rpc";
import { RingSnapshot } from "./snapshot.ts";

/** What a ring's page shows: a view of a ring, or the one member of a process that needs none. */
export interface RingSource { readonly ring: string; readonly snapshot: RingSnapshot; refresh(): Promise<void>; forget(id: string): Promise<boolean> }

/** The ring of a process that runs everything itself: it is the only member, and cannot be forgotten. */
export function ringOfOne(ring: string, id: string, address: string, startedMs: number): RingSource {
  return { ring, snapshot: new RingSnapshot([{ id, address, zone: "", state: "ACTIVE", tokens: [0], heartbeat: 0, registeredAtMs: startedMs }]), refresh: () => Promise.resolve(), forget: () => Promise.resolve(false) };
}

/** A ring as a page for people and as JSON (`Accept: application/json`), and the form that forgets a member. */
export function ringRoutes(path: string, view: RingSource): Routes {
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
        if (wantsJson(request)) { await reply.type("application/json").send(JSON.stringify({ name: view.ring, members: rows() })); return; }
        await sendPage(request, reply, `Ring ${view.ring}`, table(["Instance", "Zone", "State", "Address", "Registered", "Tokens", "Owns", ""], rows().map((m) => [m.id, m.zone, m.state, m.address, m.registeredAt, m.tokens, `${(m.share * 100).toFixed(1)} %`, html`<form method="post"><button name="forget" value="${m.id}">Forget</button></form>`])));
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
