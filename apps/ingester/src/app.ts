import { setFlagsFromString } from "node:v8";
import { join } from "node:path";
import { InternalIngesterService, PartitionService, SourceService } from "@cinderblock/api";
import { sleep } from "@cinderblock/async";
import type { BlockMeta } from "@cinderblock/block-meta";
import { CinderblockError } from "@cinderblock/errors";
import { crashPoint } from "@cinderblock/files";
import { lastLoggedMs } from "@cinderblock/head";
import type { RingMember } from "@cinderblock/ring";
import { internalService, type Routes } from "@cinderblock/rpc";
import {
  type ClusterProcess,
  type Component,
  INGESTERS,
  kafkaOf,
  partitionedLog,
  RING_REFRESH_MS,
  STORES,
} from "@cinderblock/runtime";
import { ingesterHandlers, partitionHandlers, partitionRoutes, sourceHandlers } from "@cinderblock/transport";
import { type IngesterComponentConfig, ingesterConfigOf, ingesterSchema } from "./config.ts";
import { handOver, type HandOverParts, type HeldBlock } from "./hand-over.ts";
import { Ingester } from "./ingester.ts";
import { Ownership } from "./ownership.ts";
import { type PartitionOwners, Partitions } from "./partitions.ts";
import { ingesterRoutes } from "./rpc.ts";
import { DeletedTenants } from "./deleted-tenants.ts";
import { Shipper } from "./shipper.ts";

/** Time for removing the roster entry after a hand-over that used up its deadline. */
const ROSTER_REMOVE_MS = 5000;

/** Stores the pushes of its ring tokens or Kafka partitions, serves recent data and uploads blocks. */
export const ingester: Component<typeof ingesterSchema> = {
  name: "ingester",
  schema: ingesterSchema,
  check: (config) => {
    if (config.writeBuffer === "kafka") kafkaOf(config);
  },
  async wire(config, host) {
    const { base, id, resources } = host;
    const bucket = await resources.bucket();
    resources.claimDirectory(config.dataPath, "-pyroscopedb.data-path");
    const ingester = new Ingester(
      resources.scripts.ingest,
      ingesterConfigOf(config, resources),
      host.addPool(),
      base,
      host.onFatal,
    );
    const me = host.ringMember(
      INGESTERS,
      config.numTokens,
      config.tokensFile !== "" ? config.tokensFile : join(config.dataPath, "ring-tokens.json"),
    );
    const shipper = new Shipper(
      ingester.blocksOnDisk,
      bucket,
      config.shipInterval,
      (tenant, meta) => {
        void host.announceBlock(tenant, meta.ulid);
      },
      base,
      config.shutdownTimeout,
    );
    const deleted = new DeletedTenants(ingester, bucket, config.shipInterval, base);
    shipper.skips = (tenant, ulid) => deleted.covers(tenant, ulid);
    shipper.beforePass = () => deleted.refreshIfStale();
    ingester.isDeleted = (tenant, receivedMs) => deleted.deletedAt(tenant, receivedMs);
    shipper.makeRoom = () => ingester.disk.makeRoom();
    ingester.ship = () => {
      void shipper.sync();
    };
    ingester.onBlock = () => {
      void shipper.sync();
    };
    ingester.answerable = (tenant, ulid) => host.storesCanServe(tenant, ulid);
    const ring = host.ringView(INGESTERS);
    host.ringView(STORES);
    const leaving = { now: false };
    // Read the time of the last log write before replay, which writes to the log.
    const lastLogged = lastLoggedMs(config.dataPath);
    host.addServices(me, shipper, ingester, deleted);
    const partitions = config.writeBuffer === "kafka" ? readsPartitions(config, host, ingester) : undefined;
    if (partitions) ingester.onThreadDeath = () => partitions.noteDeath();
    else {
      const placed = {
        replicationFactor: config.replicationFactor,
        zoneAware: config.zoneAware,
        shardSize: (tenant: string) => resources.limits.forTenant(tenant).ingestionShardSize,
      };
      host.addServices(
        new Ownership(
          { ...placed, id, timeoutMs: config.heartbeatTimeout, lastLoggedMs: lastLogged },
          ingester,
          me,
          () => ring.snapshot,
          base,
        ),
      );
    }
    const roster = await host.rosterMember(join(config.dataPath, "roster.json"));
    host.addServices(roster);
    host.becomeActive(me, roster.ready);
    host.progress = () => ingester.progress;
    host.readyWhen(() => roster.obstacle);
    const unlessLeaving = <T>(take: () => Promise<T>): Promise<T> =>
      leaving.now ? Promise.reject(new CinderblockError("unavailable", `ingester ${id} is leaving`)) : take();
    host.serveInternal(
      internalService(SourceService, sourceHandlers(ingester.source)),
      internalService(
        InternalIngesterService,
        ingesterHandlers(
          ({ tenant, service, push, limits, atMs }) =>
            unlessLeaving(() => ingester.store(tenant, service, push, limits, atMs)),
          () => ingester.activeSeries(),
        ),
      ),
    );
    host.addRoutes(ingesterRoutes(ingester, config.multitenancy, resources.authorizer));
    host.addRoutes(readOnlyRoutes(me));
    host.beforeStop(async () => {
      await me.setState("LEAVING");
      // By then every distributor has read the LEAVING state, so the member's absence raises no alarm.
      await sleep(2 * RING_REFRESH_MS);
      leaving.now = true;
      crashPoint("hand-over/leaving");
      await partitions?.stopReading();
      const deadlineMs = base.now() + config.shutdownTimeout,
        left = await handOver(handOverParts(ingester, shipper, deleted), deadlineMs, base);
      if (left.unshipped + left.unanswered === 0) {
        crashPoint("hand-over/answered");
        // The roster knows ingesters by name: after a takeover the entry belongs to the new process.
        if (!me.superseded) await roster.remove(Math.max(deadlineMs, base.now() + ROSTER_REMOVE_MS));
        crashPoint("hand-over/roster-removed");
        return;
      }
      // Answers stay partial until this ingester starts again or an operator forgets its roster entry.
      me.stayInRing();
      base.log.error(
        left,
        "ingester still holds data that is not in the bucket, it stays in ring and roster; restart it before its disk is removed",
      );
    });
  },
};

/**
 * `/ingester/prepare-instance-ring-downscale`: POST makes the ingester read-only, DELETE reverts that, GET
 * returns the state. A scale-down calls POST some time before it stops the ingester.
 */
function readOnlyRoutes(me: RingMember): Routes {
  const path = "/ingester/prepare-instance-ring-downscale";
  return {
    http: (app) => {
      const answer = (): { readOnly: boolean } => ({ readOnly: me.readOnly });
      app.get(path, () => answer());
      app.post(path, async () => {
        await me.setReadOnly(true);
        return answer();
      });
      app.delete(path, async () => {
        await me.setReadOnly(false);
        return answer();
      });
    },
  };
}

/** Reads this ingester's Kafka partitions into its heads, reports their state, and serves strong reads. */
function readsPartitions(
  config: IngesterComponentConfig,
  host: ClusterProcess,
  ingester: Ingester,
): Partitions {
  const { base } = host;
  // Fetched records live for milliseconds outside the small heap, as in a distributor
  // (docs/adr/0009-kafka-between-distributor-and-ingesters.md).
  setFlagsFromString("--heap-growing-percent=300");
  const { log, service } = partitionedLog(config, base);
  const ring = host.ringView(INGESTERS);
  const owners = (): PartitionOwners => {
    const zone = ring.snapshot.active.filter((m) => m.zone === config.zone);
    // A zone uses one rule: the previous release's while one of its members still runs that release.
    return { ids: zone.map((m) => m.id).sort(), rule: zone.every((m) => m.partitionRule === 2) ? 2 : 1 };
  };
  const partitions = new Partitions(
    {
      id: host.id,
      zone: config.zone,
      topic: config.kafkaTopic,
      file: join(config.dataPath, "partitions.json"),
      learnMs: config.kafkaLearn,
    },
    log,
    ingester,
    owners,
    base,
  );
  host.addServices(service, partitions);
  host.serveInternal(internalService(PartitionService, partitionHandlers(partitions)));
  host.addRoutes(partitionRoutes(() => partitions.states()));
  return partitions;
}

function handOverParts(ingester: Ingester, shipper: Shipper, deleted: DeletedTenants): HandOverParts {
  const held = (blocks: readonly { tenant: string; meta: BlockMeta }[]): HeldBlock[] =>
    blocks.map(({ tenant, meta }) => ({ tenant, ulid: meta.ulid }));
  return {
    flush: () => ingester.flush(),
    ship: async () => {
      await deleted.runPass();
      await shipper.sync();
    },
    unshipped: () => held(ingester.blocksOnDisk.unshippedBlocks()),
    shipped: () => held(ingester.blocksOnDisk.shippedBlocks()),
    answerable: (tenant, ulid) => ingester.answerable(tenant, ulid),
  };
}
