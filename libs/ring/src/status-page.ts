import { html, type Routes, sendPage, table, wantsJson } from "@cinderblock/rpc";
import type { Member } from "./member.ts";
import { RingSnapshot } from "./snapshot.ts";

/** Data of a ring's page: a view of a ring, or the only member of a process without a ring. */
export interface RingSource {
  readonly ring: string;
  readonly snapshot: RingSnapshot;
  /** milliseconds since the last heartbeat of a member */
  msSinceHeartbeat(id: string): number;
  refresh(): Promise<void>;
  /** members that hold data and are not in the ring */
  absent?(): Promise<readonly Member[]>;
  /** absent if members cannot be forgotten */
  forget?(id: string): Promise<boolean>;
}

/** A member as JSON: names and values of v1's pages (dskit's ring), and its share of the ring. */
interface RingShard {
  id: string;
  /** state of the member, or UNHEALTHY */
  state: string;
  address: string;
  /** time of the last heartbeat, and of the registration: RFC 3339 */
  timestamp: string;
  registered_timestamp: string;
  read_only: boolean;
  zone: string;
  tokens: readonly number[];
  /** fraction of the token range, 0 to 1 */
  share: number;
}

/** Ring of a process that runs all components: it is the only member, and cannot be forgotten. */
export function singleMemberRing(ring: string, id: string, address: string, startedMs: number): RingSource {
  return {
    ring,
    snapshot: new RingSnapshot([
      { id, address, zone: "", state: "ACTIVE", tokens: [0], heartbeat: 0, registeredAtMs: startedMs },
    ]),
    msSinceHeartbeat: () => 0,
    refresh: () => Promise.resolve(),
  };
}

/**
 * A ring as a page for people and as JSON (`Accept: application/json`: `{shards, now}`), and the form that
 * forgets a member.
 */
export function ringRoutes(path: string, view: RingSource): Routes {
  const shards = async (now: number): Promise<RingShard[]> => {
    const s = view.snapshot,
      absent = (await view.absent?.()) ?? [];
    const all = s.members.flatMap((m) => m.tokens.map((t) => ({ t, id: m.id }))).sort((a, b) => a.t - b.t);
    const owned = new Map<string, number>();
    // A token owns the range between the previous token and itself.
    all.forEach((x, i) => {
      owned.set(x.id, (owned.get(x.id) ?? 0) + (x.t - (i === 0 ? all.at(-1)!.t - 2 ** 32 : all[i - 1]!.t)));
    });
    return [...s.members, ...absent].map((m) => ({
      id: m.id,
      state: s.isHealthy(m) && !absent.includes(m) ? m.state : "UNHEALTHY",
      address: m.address,
      timestamp: new Date(
        absent.includes(m) ? m.registeredAtMs : now - view.msSinceHeartbeat(m.id),
      ).toISOString(),
      registered_timestamp: new Date(m.registeredAtMs).toISOString(),
      read_only: m.readOnly === true,
      zone: m.zone,
      tokens: m.tokens,
      share: (owned.get(m.id) ?? 0) / 2 ** 32,
    }));
  };
  return {
    http: (app) => {
      app.addContentTypeParser(
        "application/x-www-form-urlencoded",
        { parseAs: "string" },
        (_request, body, done) => {
          done(null, Object.fromEntries(new URLSearchParams(String(body))));
        },
      );
      app.get(path, async (request, reply) => {
        const now = Date.now(),
          all = await shards(now);
        if (wantsJson(request)) {
          await reply
            .type("application/json")
            .send(JSON.stringify({ shards: all, now: new Date(now).toISOString() }));
          return;
        }
        await sendPage(
          request,
          reply,
          `Ring ${view.ring}`,
          table(
            ["Instance", "Zone", "State", "Address", "Registered", "Last heard", "Tokens", "Owns", ""],
            all.map((m) => [
              m.id,
              m.zone,
              `${m.state}${m.read_only ? " (read-only)" : ""}`,
              m.address,
              m.registered_timestamp,
              m.timestamp,
              m.tokens.length,
              `${(m.share * 100).toFixed(1)} %`,
              view.forget
                ? html`<form method="post"><button name="forget" value="${m.id}">Forget</button></form>`
                : "",
            ]),
          ),
        );
      });
      if (!view.forget) return;
      app.post(path, async (request, reply) => {
        const id = (request.body as Record<string, string> | undefined)?.forget ?? "";
        if (id === "") {
          await reply.code(400).type("text/plain").send("name the ring member to remove: forget=ID\n");
          return;
        }
        await view.forget?.(id);
        await view.refresh();
        await reply.code(303).header("location", path).send();
      });
    },
  };
}
