import type { Member } from "@cinderblock/ring";
import { type Component, INGESTERS, memoizeByMember, STORES } from "@cinderblock/runtime";
import { RemoteJobs, RemotePartitions, RemoteSource } from "@cinderblock/transport";
import { querierSchema } from "./config.ts";
import { CaughtUpCache, type Coverage, coverageOf } from "./coverage.ts";
import { waitUntilRead } from "./strong.ts";
import { QuerierLoop } from "./querier-loop.ts";
import { Querier, type SourceClients } from "./querier.ts";

/** Extra time for the network: an answer that was sent just before its deadline arrives this late at most. */
const ANSWER_MS = 250;
/** Deadline for asking an ingester that has just answered which partitions it has read. */
const CAUGHT_UP_MS = 1000;

/** Runs queries from the schedulers against ingesters and store-gateways. */
export const querier: Component<typeof querierSchema> = {
  name: "querier",
  schema: querierSchema,
  async wire(config, host) {
    const { base, client } = host;
    const ring = host.ringView(INGESTERS),
      stores = host.ringView(STORES);
    const { holders, roster } = await host.holders();
    const source = memoizeByMember((m) => new RemoteSource(client, m.id, m.address, config.queryTimeout));
    const caughtUp = new CaughtUpCache<Member>(
      (m) => new RemotePartitions(client, m.address).caughtUp(CAUGHT_UP_MS),
      (m) => `${m.id} ${m.address}`,
      () => performance.now(),
    );
    const coverage = (answering: readonly string[]): Promise<Coverage> =>
      coverageOf(
        holders.members.filter((m) => answering.includes(m.id)),
        (m) => caughtUp.get(m),
      );
    const sources: SourceClients = {
      // Ask stalled and replaying ingesters too: an answer must report data that only they hold. A new
      // ingester answers that it has nothing.
      ingesters: () => holders.members.map(source),
      stores: () => host.storeGateways(),
      unknown: () => ({
        ingesters: holders.unknown,
        stores:
          stores.snapshot.readable.length > 0
            ? ""
            : "no store-gateway is in the ring: data of stored blocks is missing",
      }),
      coveredBy: (answering, silent) =>
        config.writeBuffer === "kafka"
          ? coverage(answering).then((c) => c.covered)
          : Promise.resolve(
              silent <= config.replicationFactor - (Math.floor(config.replicationFactor / 2) + 1),
            ),
      // Without ingesters, all data is in the bucket: only strong reads check the log.
      ...(config.writeBuffer === "kafka"
        ? {
            unread: async (answering) => (answering.length === 0 ? "" : (await coverage(answering)).reason),
          }
        : {}),
      // An ingester answers at its deadline with the partitions read so far: this call waits slightly longer.
      reach: (ends, deadlineMs, topicId) =>
        waitUntilRead(
          () => holders.members.filter((m) => m.state !== "JOINING"),
          ends,
          deadlineMs,
          (m, untilMs) =>
            new RemotePartitions(client, m.address).waitForEnds(
              ends,
              untilMs,
              topicId,
              Math.max(1, untilMs - Date.now()) + ANSWER_MS,
            ),
        ),
      refresh: async () => {
        await Promise.all([ring.refresh(), stores.refresh(), roster.refresh()]);
      },
    };
    const jobs = new RemoteJobs(client, () => host.schedulerAddresses(), base);
    const loop = new QuerierLoop(
      new Querier(sources, base),
      jobs,
      config.querierConcurrency,
      host.id,
      base.tracer,
    );
    host.addServices({
      name: loop.name,
      start: () => loop.start(),
      stop: async () => {
        jobs.stop();
        await loop.stop();
        await jobs.drainResults();
      },
    });
  },
};
