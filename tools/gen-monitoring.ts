// Writes Grafana's dashboards into the chart; --check compares instead.
import { generated } from "./generated.ts";
import { dashboards, type Dashboard } from "./monitoring/dashboards.ts";
import { type LabelVariable, SCOPE_VARIABLES, scoped } from "./monitoring/scope.ts";

const datasource = { type: "prometheus", uid: "${datasource}" };

function variable({ name, label, query, all }: LabelVariable): object {
  return {
    name,
    type: "query",
    datasource,
    query: { query, refId: name },
    refresh: 2,
    includeAll: true,
    multi: true,
    ...(all === undefined ? {} : { allValue: all }),
    label,
  };
}

function dashboard({ id, title, panels, tenant }: Dashboard): object {
  const variables: object[] = [
    { name: "datasource", type: "datasource", query: "prometheus", label: "Data source" },
    ...SCOPE_VARIABLES.map(variable),
  ];
  if (tenant)
    variables.push({
      name: "tenant",
      type: "query",
      datasource,
      query: {
        query: `label_values(${scoped("pyroscope_distributor_profiles_received_total")}, tenant)`,
        refId: "tenant",
      },
      refresh: 2,
      includeAll: true,
      allValue: ".*",
      label: "Tenant",
    });
  return {
    uid: `cinderblock-${id}`,
    title,
    tags: ["cinderblock"],
    timezone: "browser",
    schemaVersion: 39,
    refresh: "30s",
    time: { from: "now-3h", to: "now" },
    editable: true,
    templating: { list: variables },
    panels: panels.map((p, i) => ({
      id: i + 1,
      title: p.title,
      type: "timeseries",
      datasource,
      gridPos: { x: (i % 2) * 12, y: Math.floor(i / 2) * 8, w: 12, h: 8 },
      fieldConfig: {
        defaults: { unit: p.unit, min: 0, custom: { fillOpacity: 10, showPoints: "never" } },
        overrides: [],
      },
      options: {
        legend: { displayMode: "list", placement: "bottom" },
        tooltip: { mode: "multi", sort: "desc" },
      },
      targets: p.exprs.map(([expr, legendFormat], k) => ({
        refId: String.fromCharCode(65 + k),
        datasource,
        expr: scoped(expr),
        legendFormat,
      })),
    })),
  };
}

generated(
  Object.fromEntries(
    dashboards.map((d) => [
      `charts/cinderblock/dashboards/${d.id}.json`,
      `${JSON.stringify(dashboard(d), undefined, 1)}\n`,
    ]),
  ),
  "tools/monitoring/dashboards.ts",
);
