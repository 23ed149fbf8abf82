export { exportTree } from "./trees.ts";
export { exportOtlp } from "./otlp.ts";
export { columnsOf, exportSamples } from "./samples.ts";
export { toParquet } from "@cinderblock/arrow";
