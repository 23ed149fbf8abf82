import type { Member } from "@cinderblock/ring";
import { type Component, INGESTERS, oneEach, STORES } from "@cinderblock/runtime";
import { type CaughtUp, RemoteJobs, RemoteSource } from "@cinderblock/transport";
import { querierSchema } from "./config.ts";
import { CaughtUpCache, type Coverage, coverageOf } from "./coverage.ts";
import { reachEnds, zonesOf } from "./strong.ts";
import { QuerierLoop } from "./querier-loop.ts";
import { Querier, type Sources } from "./querier.ts";

/** An answer that was given in time may take so long to come. */
const ANSWER_MS = 250;
/** An ingester that has just answered says what it has read within this time. */
const CAUGHT_UP_MS = 1000;

/** Takes queries from the schedulers and asks ingesters and store-gateways. */
export const querier: Component<typeof querierSchema> = {
  name: "querier",
  schema: querierSchema,
  async wire(config, process) {
    const { base, client } = process;
    const ring = process.view(INGESTERS),
      stores = process.view(STORES);
    const { holders, roster } = await process.holders();
    const source = oneEach((m) => new RemoteSource(client, "Ingester", m.id, m.address, config.queryTimeout));
    const caughtUp = new CaughtUpCache<Member>(
      (m) => client.call<CaughtUp>(m.address, "Ingester", "caughtUp", [], { timeoutMs: CAUGHT_UP_MS }),
      (m) => `${m.id} ${m.address}`,
      () => performance.now(),
    );
    const coverage = (answering: readonly string[], silent: number): Promise<Coverage> =>
      coverageOf(
        holders.members.filter((m) => answering.includes(m.id)),
        (m) => caughtUp.of(m),
        () => silent < zonesOf(ring.snapshot.readable),
      );
    const sources: Sources = {
      // One that is silent, or that still reads its log, is asked, too: what it alone has must be told. A new one answers that it has nothing.
      ingesters: () => holders.members.map(source),
      stores: () => process.stores(),
      unknown: () => ({
        ingesters: holders.unknown,
        stores:
          stores.snapshot.readable.length > 0
            ? ""
            : "no store-gateway is in the ring: stored blocks are missing",
      }),
      coveredBy: (answering, silent) =>
        config.writeBuffer === "kafka"
          ? coverage(answering, silent).then((c) => c.covered)
          : Promise.resolve(
              silent <= config.replicationFactor - (Math.floor(config.replicationFactor / 2) + 1),
            ),
      // Without any ingester everything was handed over: strong reads say whether.
      ...(config.writeBuffer === "kafka"
        ? {
            unread: async (answering) =>
              answering.length === 0 ? "" : (await coverage(answering, 0)).reason,
          }
        : {}),
      // Its own answer, which says what it lacks, comes at that time, and before this gives up.
      reach: (ends, deadlineMs, topicId) =>
        reachEnds(
          () => holders.members.filter((m) => m.state !== "JOINING"),
          ends,
          deadlineMs,
          (m, untilMs) =>
            client.call<number[]>(m.address, "Ingester", "reach", [ends, untilMs, topicId], {
              timeoutMs: Math.max(1, untilMs - Date.now()) + ANSWER_MS,
            }),
        ),
      refresh: async () => {
        await Promise.all([ring.refresh(), stores.refresh(), roster.refresh()]);
      },
    };
    const jobs = new RemoteJobs(client, () => process.schedulers(), base);
    const loop = new QuerierLoop(new Querier(sources, base), jobs, config.querierConcurrency, process.id);
    process.add({
      name: loop.name,
      start: () => loop.start(),
      stop: async () => {
        jobs.stop();
        await loop.stop();
        await jobs.finished();
      },
    });
  },
};
