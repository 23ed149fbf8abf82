import {
  CallTreeResponseSchema,
  ExploreService,
  FunctionLinesResponseSchema,
  FunctionNeighboursResponseSchema,
  FunctionOrder,
  FunctionTableResponseSchema,
  HeatmapResponseSchema,
  type Selection,
  TimelineResponseSchema,
} from "@cinderblock/api";
import { invalidError } from "@cinderblock/errors";
import type { FunctionOrder as Order } from "@cinderblock/query";
import type { ConnectRouter } from "@cinderblock/rpc";
import { isJson, type ReadRpcConfig, requestContextOf } from "./connect-context.ts";
import type { QueryFrontend } from "./frontend.ts";
import { rawMessage } from "./raw-message.ts";
import type { ExploreSelection } from "./request.ts";

const ORDERS: Record<FunctionOrder, Order> = {
  [FunctionOrder.SELF]: "self",
  [FunctionOrder.TOTAL]: "total",
  [FunctionOrder.NAME]: "name",
  [FunctionOrder.SELF_CHANGE]: "self-change",
  [FunctionOrder.TOTAL_CHANGE]: "total-change",
};
/** Maximum number of functions in `only`: one bit each. */
const MAX_ONLY = 32;

function selection(s: Selection | undefined): ExploreSelection {
  if (!s) throw invalidError("selection is required: profile type, label selector and time range");
  const only = s.stacks?.only ?? [];
  if (only.length > MAX_ONLY)
    throw invalidError(`stacks.only names ${only.length} functions; the limit is ${MAX_ONLY}`);
  return {
    profileTypeId: s.profileTypeId,
    labelSelector: s.labelSelector === "" ? "{}" : s.labelSelector,
    startMs: Number(s.start),
    endMs: Number(s.end),
    spans: s.spanSelector,
    profileIds: s.profileIdSelector,
    filter: {
      callSite: s.stacks?.callSite ?? [],
      only,
      without: s.stacks?.without ?? [],
      hide: s.stacks?.hide ?? [],
    },
  };
}

/** cinderblock.explore.v1.ExploreService: the web UI's queries beyond Pyroscope's API. */
export function exploreRpc(router: ConnectRouter, frontend: QueryFrontend, config: ReadRpcConfig): void {
  router.service(ExploreService, {
    async callTree(r, context) {
      const bytes = await frontend.explore.callTree(
        requestContextOf(context, config),
        selection(r.selection),
        r.baseline && selection(r.baseline),
        Number(r.maxNodes),
      );
      return rawMessage(CallTreeResponseSchema, bytes, isJson(context));
    },
    async functionTable(r, context) {
      if (r.offset < 0n || r.limit < 0n) throw invalidError("offset and limit must not be negative");
      const order = ORDERS[r.order] as Order | undefined;
      if (!order)
        throw invalidError(
          `order ${r.order} is unknown; expected one of ${Object.values(ORDERS).join(", ")}`,
        );
      const page = {
        filter: r.filter,
        only: r.names,
        order,
        ascending: r.ascending,
        offset: Number(r.offset),
        limit: Number(r.limit),
      };
      const bytes = await frontend.explore.functionTable(
        requestContextOf(context, config),
        selection(r.selection),
        r.baseline && selection(r.baseline),
        page,
      );
      return rawMessage(FunctionTableResponseSchema, bytes, isJson(context));
    },
    async functionNeighbours(r, context) {
      const bytes = await frontend.explore.functionNeighbors(
        requestContextOf(context, config),
        selection(r.selection),
        r.baseline && selection(r.baseline),
        r.function,
        Number(r.maxNodes),
      );
      return rawMessage(FunctionNeighboursResponseSchema, bytes, isJson(context));
    },
    async functionLines(r, context) {
      return rawMessage(
        FunctionLinesResponseSchema,
        await frontend.explore.functionLines(
          requestContextOf(context, config),
          selection(r.selection),
          r.function,
        ),
        isJson(context),
      );
    },
    async heatmap(r, context) {
      const columns = r.columns || 60,
        rows = r.rows || 20;
      if (columns > 1000 || rows > 100)
        throw invalidError(
          `the heatmap has ${columns} columns and ${rows} rows; the limits are 1000 and 100`,
        );
      return rawMessage(
        HeatmapResponseSchema,
        await frontend.explore.heatmap(
          requestContextOf(context, config),
          selection(r.selection),
          columns,
          rows,
        ),
        isJson(context),
      );
    },
    async profiles(r, context) {
      const limit = r.limit || 100;
      if (limit > 1000) throw invalidError(`limit is ${limit} profiles; the maximum is 1000`);
      if (r.minValue < 0n || r.maxValue < 0n)
        throw invalidError("min_value and max_value must not be negative");
      const list = await frontend.explore.profiles(
        requestContextOf(context, config),
        selection(r.selection),
        Number(r.minValue),
        Number(r.maxValue),
        limit,
      );
      return {
        profiles: list.profiles.map((p) => ({
          profileId: p.id,
          timestamp: BigInt(p.timeMs),
          value: BigInt(p.value),
          labels: p.labels,
        })),
        count: BigInt(list.count),
        total: BigInt(list.total),
      };
    },
    async series(r, context) {
      const s = selection(r.selection);
      if (s.spans.length > 0) throw invalidError("span_selector is not supported for series");
      if (!(r.step >= 0)) throw invalidError(`step is ${r.step} s; it must not be negative`);
      if (r.limit < 0n) throw invalidError(`limit is ${r.limit} series; it must not be negative`);
      const bytes = await frontend.timeSeries.timeline(requestContextOf(context, config), s, {
        stepMs: Math.round(r.step * 1000),
        groupBy: r.groupBy,
        limit: Number(r.limit),
      });
      return rawMessage(TimelineResponseSchema, bytes, isJson(context));
    },
    async labelCounts(r, context) {
      const { values, cardinality } = await frontend.labels.valueCounts(
        requestContextOf(context, config),
        { matchers: r.matchers, startMs: Number(r.start), endMs: Number(r.end) },
        { name: r.name, prefix: r.prefix, limit: Number(r.limit) },
      );
      return {
        values: values.map((v) => ({ value: v.value, series: BigInt(v.series) })),
        cardinality: BigInt(cardinality),
      };
    },
    capabilities(_r, context) {
      const caller = requestContextOf(context, config),
        l = frontend.limits(caller);
      return {
        version: config.version,
        maxQueryLengthMs: BigInt(l.maxQueryLengthMs),
        maxQueryLookbackMs: BigInt(l.maxQueryLookbackMs),
        maxNodesDefault: BigInt(l.maxFlamegraphNodesDefault),
        maxNodes: BigInt(l.maxFlamegraphNodesMax),
        multitenancy: config.multitenancy,
        tenants: caller.tenants,
      };
    },
  });
}
