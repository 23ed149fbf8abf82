import {
  DiffResponseSchema,
  ExemplarType,
  FeatureFlagsService,
  HeatmapQueryType,
  ProfileFormat,
  ProfileSchema,
  QuerierService,
  SelectHeatmapResponseSchema,
  SelectMergeSpanProfileResponseSchema,
  SelectMergeStacktracesResponseSchema,
  SeriesResponseSchema,
  type SelectMergeStacktracesRequest,
  type StackTraceSelector,
  TimeSeriesAggregationType,
  Version,
} from "@cinderblock/api";
import { invalidError } from "@cinderblock/errors";
import { parseProfileType } from "@cinderblock/model";
import { encodeSeriesResponse, type ExemplarKind, type StackSelector } from "@cinderblock/query";
import type { HandlerContext, Routes } from "@cinderblock/rpc";
import { isJson, type ReadRpcConfig, requestContextOf } from "./connect-context.ts";
import { exploreRpc } from "./explore-rpc.ts";
import type { QueryFrontend } from "./frontend.ts";
import { rawMessage, encodeBytesField } from "./raw-message.ts";
import type { LabelQuery, MergeRequest, RequestContext } from "./request.ts";
import { encodeSeriesMessage } from "./series-message.ts";
import { vcsRpc } from "./vcs-rpc.ts";

/** Routes of querier.v1.QuerierService, the explore API, the feature flags and the version. */
export function frontendRpc(frontend: QueryFrontend, config: ReadRpcConfig): Routes {
  const caller = (context: HandlerContext): RequestContext => requestContextOf(context, config);
  const utf8 = (context: HandlerContext): boolean =>
    /allow-utf8-labelnames\s*=\s*true/.test(context.requestHeader.get("accept") ?? "");

  return {
    connect: (router) => {
      router.service(QuerierService, {
        async profileTypes(r, context) {
          const types = await frontend.labels.profileTypes(caller(context), Number(r.start), Number(r.end));
          return {
            profileTypes: types.map((t) => ({
              ID: t.id,
              name: t.name,
              sampleType: t.sampleType,
              sampleUnit: t.sampleUnit,
              periodType: t.periodType,
              periodUnit: t.periodUnit,
            })),
          };
        },
        async labelNames(r, context) {
          return {
            names: await frontend.labels.names(caller(context), labelQuery(r), utf8(context)),
          };
        },
        async labelValues(r, context) {
          return {
            names: await frontend.labels.values(caller(context), r.name, labelQuery(r)),
          };
        },
        async series(r, context) {
          const sets = await frontend.labels.labelSets(
            caller(context),
            labelQuery(r),
            r.labelNames,
            utf8(context),
          );
          return rawMessage(SeriesResponseSchema, encodeSeriesResponse(sets), isJson(context));
        },
        async selectMergeStacktraces(r, context) {
          const who = caller(context);
          const request = mergeRequest(r);
          if (r.format === ProfileFormat.DOT) return { dot: await frontend.profiles.dot(who, request) };
          if (r.format === ProfileFormat.PPROF) {
            const pprof = await frontend.profiles.pprof(who, { ...request, maxNodes: 0 });
            return rawMessage(
              SelectMergeStacktracesResponseSchema,
              encodeBytesField(5, encodeBytesField(1, pprof ?? EMPTY_PPROF)),
              isJson(context),
            );
          }
          if (r.format === ProfileFormat.TREE) {
            const tree = await frontend.flameGraphs.tree(who, request);
            return rawMessage(
              SelectMergeStacktracesResponseSchema,
              tree.length === 0 ? tree : encodeBytesField(2, tree),
              isJson(context),
            );
          }
          return rawMessage(
            SelectMergeStacktracesResponseSchema,
            encodeBytesField(1, await frontend.flameGraphs.flame(who, request, "proto")),
            isJson(context),
          );
        },
        async selectMergeSpanProfile(r, context) {
          const who = caller(context);
          const request: MergeRequest = {
            profileTypeId: r.profileTypeID,
            labelSelector: r.labelSelector,
            startMs: Number(r.start),
            endMs: Number(r.end),
            maxNodes: Number(r.maxNodes ?? 0n),
            spans: r.spanSelector,
            spansOnly: true,
            stacks: undefined,
          };
          if (r.format === ProfileFormat.TREE) {
            const tree = await frontend.flameGraphs.tree(who, request);
            return rawMessage(
              SelectMergeSpanProfileResponseSchema,
              tree.length === 0 ? tree : encodeBytesField(2, tree),
              isJson(context),
            );
          }
          return rawMessage(
            SelectMergeSpanProfileResponseSchema,
            encodeBytesField(1, await frontend.flameGraphs.flame(who, request, "proto")),
            isJson(context),
          );
        },
        async selectMergeProfile(r, context) {
          const pprof = await frontend.profiles.pprof(caller(context), {
            profileTypeId: r.profileTypeID,
            labelSelector: r.labelSelector,
            startMs: Number(r.start),
            endMs: Number(r.end),
            maxNodes: Number(r.maxNodes ?? 0n),
            spans: [],
            stacks: stackSelector(r.stackTraceSelector),
            traces: r.traceIdSelector,
            profileIds: r.profileIdSelector,
          });
          return rawMessage(ProfileSchema, pprof ?? EMPTY_PPROF, isJson(context));
        },
        async selectSeries(r, context) {
          const series = await frontend.timeSeries.series(caller(context), {
            profileTypeId: r.profileTypeID,
            labelSelector: r.labelSelector,
            startMs: Number(r.start),
            endMs: Number(r.end),
            stepMs: Math.round(r.step * 1000),
            groupBy: r.groupBy,
            average: r.aggregation === TimeSeriesAggregationType.AVERAGE,
            limit: Number(r.limit ?? 0n),
            callSite: r.stackTraceSelector?.callSite.map((l) => l.name) ?? [],
            ...(EXEMPLARS[r.exemplarType] ? { exemplars: EXEMPLARS[r.exemplarType]! } : {}),
          });
          return { series: encodeSeriesMessage(series) };
        },
        async selectHeatmap(r, context) {
          const each = r.queryType === HeatmapQueryType.SPAN ? "span" : "profile",
            exemplars = EXEMPLARS[r.exemplarType];
          if (exemplars && exemplars !== each)
            throw invalidError(
              `exemplar_type ${ExemplarType[r.exemplarType]} does not fit query_type ${HeatmapQueryType[r.queryType]}: a heatmap of ${each}s has exemplars that are ${each}s`,
            );
          const bytes = await frontend.timeSeries.heatmap(caller(context), {
            profileTypeId: r.profileTypeID,
            labelSelector: r.labelSelector,
            startMs: Number(r.start),
            endMs: Number(r.end),
            stepMs: Math.round(r.step * 1000),
            groupBy: r.groupBy,
            each,
            exemplars: exemplars !== undefined,
            limit: Number(r.limit ?? 0n),
          });
          return rawMessage(SelectHeatmapResponseSchema, bytes, isJson(context));
        },
        async diff(r, context) {
          const who = caller(context);
          const missing = invalidError("missing time range in the query");
          if (!r.left || !r.right) throw missing;
          for (const side of [r.left, r.right]) if (side.start === 0n || side.end === 0n) throw missing;
          for (const side of [r.left, r.right]) parseProfileType(side.profileTypeID);
          return rawMessage(
            DiffResponseSchema,
            encodeBytesField(
              1,
              await frontend.flameGraphs.diff(who, mergeRequest(r.left), mergeRequest(r.right), "proto"),
            ),
            isJson(context),
          );
        },
        async getProfileStats(_r, context) {
          const s = await frontend.blocks.stats(caller(context));
          return s
            ? {
                dataIngested: true,
                oldestProfileTime: BigInt(s.oldestMs),
                newestProfileTime: BigInt(s.newestMs),
              }
            : {};
        },
        async analyzeQuery(r, context) {
          const a = await frontend.blocks.analyze(caller(context), Number(r.start), Number(r.end));
          if (!a) return {};
          return {
            queryScopes: [
              { componentType: "Short term storage", componentCount: 1n, blockCount: BigInt(a.recent) },
              { componentType: "Long term storage", componentCount: 1n, blockCount: BigInt(a.stored) },
            ],
            queryImpact: { deduplicationNeeded: a.dedup },
          };
        },
      });
      router.service(FeatureFlagsService, {
        getFeatureFlags: () => ({
          featureFlags: ["pyroscopeRuler", "pyroscopeRulerFunctions", "utf8LabelNames", "v2StorageLayer"].map(
            (name) => ({ name, enabled: name === "utf8LabelNames" }),
          ),
        }),
      });
      vcsRpc(router, config.sources, config.multitenancy);
      exploreRpc(router, frontend, config);
      router.service(Version, { version: () => ({ QuerierAPI: 1n }) });
    },
  };
}

const EXEMPLARS: Partial<Record<ExemplarType, ExemplarKind>> = {
  [ExemplarType.INDIVIDUAL]: "profile",
  [ExemplarType.SPAN]: "span",
};

/** A profile without data, like v1's: one empty sample type and the string "". */
const EMPTY_PPROF = Uint8Array.of(10, 0, 50, 0, 90, 0);

function stackSelector(s: StackTraceSelector | undefined): StackSelector | undefined {
  if (!s) return undefined;
  return {
    callSite: s.callSite.map((l) => l.name),
    ...(s.goPgo
      ? { goPgo: { keepLocations: s.goPgo.keepLocations, aggregateCallees: s.goPgo.aggregateCallees } }
      : {}),
  };
}

function mergeRequest(r: SelectMergeStacktracesRequest): MergeRequest {
  return {
    profileTypeId: r.profileTypeID,
    labelSelector: r.labelSelector,
    startMs: Number(r.start),
    endMs: Number(r.end),
    maxNodes: Number(r.maxNodes ?? 0n),
    spans: r.spanSelector,
    traces: r.traceIdSelector,
    stacks: stackSelector(r.stackTraceSelector),
    profileIds: r.profileIdSelector,
  };
}

function labelQuery(r: { matchers: string[]; start: bigint; end: bigint }): LabelQuery {
  return { matchers: r.matchers, startMs: Number(r.start), endMs: Number(r.end) };
}
