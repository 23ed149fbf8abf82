export { overridesExporter } from "./app.ts";
export { exportLimits } from "./exporter.ts";
