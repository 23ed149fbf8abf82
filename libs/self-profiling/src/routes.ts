import type { Routes } from "@cinderblock/rpc";
import { OwnProfiles } from "./self-profiler.ts";

const MAX_SECONDS = 300;

/** Routes below `/debug/pprof/` for `go tool pprof` and scraping agents. */
export function profileRoutes(now: () => number): Routes {
  const own = new OwnProfiles();
  return {
    http: (app) => {
      app.get("/debug/pprof/", async (_request, reply) => {
        await reply.type("text/plain; charset=utf-8").send("profile?seconds=30  CPU of all threads");
      });
      app.get<{ Querystring: { seconds?: string } }>("/debug/pprof/profile", async (request, reply) => {
        const seconds = Number(request.query.seconds ?? 30);
        if (!(seconds > 0 && seconds <= MAX_SECONDS)) {
          await reply
            .code(400)
            .type("text/plain; charset=utf-8")
            .send(`seconds=${request.query.seconds}: expected a number above 0, at most ${MAX_SECONDS}\n`);
          return;
        }
        await reply
          .type("application/octet-stream")
          .header("content-disposition", 'attachment; filename="profile"')
          .send(await own.cpu(seconds * 1000, now));
      });
      for (const name of ["heap", "allocs"])
        app.get(`/debug/pprof/${name}`, async (_request, reply) => {
          await reply
            .type("application/octet-stream")
            .header("content-disposition", `attachment; filename="${name}"`)
            .send(await own.heap(now));
        });
      // Go's other profiles do not exist here. `cmdline` is left out because arguments may contain passwords.
      for (const name of ["cmdline", "goroutine", "block", "mutex", "threadcreate", "trace"])
        app.get(`/debug/pprof/${name}`, async (_request, reply) => {
          await reply
            .code(404)
            .type("text/plain; charset=utf-8")
            .send(`${name}: unknown profile; expected profile or heap\n`);
        });
    },
  };
}
