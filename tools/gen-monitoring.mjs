// Writes Grafana's dashboards into the chart; --check compares instead.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { dashboards } from "./monitoring/dashboards.mjs";

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), "charts/cinderblock/dashboards");
const datasource = { type: "prometheus", uid: "${datasource}" };

function dashboard({ id, title, panels, tenant }) {
  const variables = [{ name: "datasource", type: "datasource", query: "prometheus", label: "Data source" }];
  if (tenant)
    variables.push({
      name: "tenant",
      type: "query",
      datasource,
      query: {
        query: "label_values(pyroscope_distributor_profiles_received_total, tenant)",
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
        expr,
        legendFormat,
      })),
    })),
  };
}

for (const d of dashboards) {
  const path = join(folder, `${d.id}.json`),
    text = `${JSON.stringify(dashboard(d), undefined, 1)}\n`;
  if (!process.argv.includes("--check")) {
    writeFileSync(path, text);
    continue;
  }
  let now = "";
  try {
    now = readFileSync(path, "utf8");
  } catch {
    /* missing: not up to date */
  }
  if (now !== text) {
    console.error(`${path} is not what tools/monitoring/dashboards.mjs says; run npm run gen`);
    process.exit(1);
  }
}
