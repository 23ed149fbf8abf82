import { setFlagsFromString } from "node:v8";
import { type Component, DISTRIBUTORS, INGESTERS, kafkaOf, partitionedLog } from "@cinderblock/runtime";
import { partitionRoutes, RemotePush } from "@cinderblock/transport";
import { distributorSchema } from "./config.ts";
import { Decisions } from "./decisions.ts";
import { Distributor } from "./distributor.ts";
import { KafkaWritePath } from "./kafka-write-path.ts";
import { SeriesWatch } from "./owner-series.ts";
import { PartitionWatch } from "./partition-watch.ts";
import { RecordPlacer } from "./record-placement.ts";
import { RingWritePath } from "./ring-write-path.ts";
import { distributorRoutes } from "./rpc.ts";
import { Validator } from "./validator.ts";

/** Accepts pushes and sends them to the ingesters of the ring, or writes them to Kafka. */
export const distributor: Component<typeof distributorSchema> = {
  name: "distributor",
  schema: distributorSchema,
  check: (config) => {
    if (config.writeBuffer === "kafka") kafkaOf(config);
  },
  wire(config, host) {
    const {
      base,
      client,
      resources: { limits, budgets, scripts, bodies },
    } = host;
    const ring = host.ringView(INGESTERS),
      distributors = host.ringView(DISTRIBUTORS);
    // The ring of distributors only counts them: each allows its share of a tenant's rate.
    const me = host.ringMember(DISTRIBUTORS, 1);
    host.addServices(me);
    host.becomeActive(me);
    const count = (): number => distributors.snapshot.active.length;
    const validator = new Validator(scripts.validate, budgets.workers, base),
      decisions = (seriesOf: (tenant: string) => ReadonlySet<bigint> | undefined): Decisions =>
        new Decisions({
          validator,
          seriesOf,
          maxSeries: (tenant) => limits.forTenant(tenant).maxGlobalSeriesPerTenant,
          distributors: count,
          now: base.now,
        });
    base.metrics.gauge(
      "cinderblock_distributor_rate_divisor",
      "Number of distributors among which a tenant's ingestion rate limit is divided.",
      [],
      (g) => g.set(Math.max(1, count())),
    );
    if (config.writeBuffer === "kafka") {
      // Records live for milliseconds, outside a small heap. V8 takes them for heap growth and marks the
      // whole heap twelve times a second: a third of this process's CPU
      // (docs/adr/0009-kafka-between-distributor-and-ingesters.md). With this flag, the heap may grow to four
      // times its live size.
      setFlagsFromString("--heap-growing-percent=300");
      const { log, service } = partitionedLog(config, base);
      const watch = new PartitionWatch(log, ring, client, base);
      const placement = new RecordPlacer(
        {
          handOverMs: config.kafkaHandOver,
          timeoutMs: config.pushTimeout,
          limits: limits.forTenant("anonymous"),
        },
        log,
        watch,
        base,
      );
      host.addServices(service, validator, watch, placement);
      const path = new KafkaWritePath(
        { timeoutMs: config.pushTimeout, maxRecordBytes: config.kafkaMaxRecord },
        log,
        decisions((tenant) => watch.seriesOf(tenant)),
        watch,
        placement,
        base,
      );
      // An aggregate is one record: half of the maximum leaves room for labels and limits next to the bodies.
      const taking = new Distributor(
        path,
        limits,
        bodies,
        base,
        config.maxUsageGroupNames,
        config.kafkaMaxRecord / 2,
      );
      host.beforeStop(() => taking.drain());
      host.addRoutes(
        distributorRoutes(taking, bodies, config.multitenancy, base.now),
        partitionRoutes(() => watch.states()),
      );
      host.readyWhen(() =>
        watch.partitions === 0 || placement.placedBy.length === 0
          ? "no ingester has reported its partitions yet"
          : log.problem,
      );
      return;
    }
    const series = new SeriesWatch(ring, client, base);
    host.addServices(validator, series);
    const path = new RingWritePath(
      {
        replicationFactor: config.replicationFactor,
        zoneAware: config.zoneAware,
        timeoutMs: config.pushTimeout,
        shardSize: (tenant) => limits.forTenant(tenant).ingestionShardSize,
      },
      () => ring.snapshot,
      (address) => new RemotePush(client, address),
      decisions((tenant) => series.series.get(tenant)),
      base,
    );
    const taking = new Distributor(path, limits, bodies, base, config.maxUsageGroupNames);
    host.beforeStop(() => taking.drain());
    host.addRoutes(distributorRoutes(taking, bodies, config.multitenancy, base.now));
    host.readyWhen(() => path.obstacle);
  },
};
