export { startKafka } from "./kafka.ts";
export type { KafkaSecurity, KafkaServer } from "./kafka.ts";
export { certificates } from "./certificates.ts";
export type { Certificates } from "./certificates.ts";
export { firefoxProfiler } from "./firefox-profiler.ts";
export { faultProxy } from "./fault-proxy.ts";
export type { Fault, FaultProxy } from "./fault-proxy.ts";
export { startAzurite, startGcsServer, startSwift } from "./object-stores.ts";
export type { AzureServer, GcsServer, SwiftServer } from "./object-stores.ts";
export { helm } from "./helm.ts";
export type { Helm } from "./helm.ts";
export { startKubernetes } from "./kubernetes.ts";
export type { KubernetesServer } from "./kubernetes.ts";
export { promtool, startPrometheus } from "./prometheus.ts";
export type { PrometheusServer } from "./prometheus.ts";
export { startDocker } from "./docker.ts";
export type { DockerEngine } from "./docker.ts";
export { images } from "./images.ts";
export type { Image, Images } from "./images.ts";
export { startRegistry } from "./registry.ts";
export type { Registry } from "./registry.ts";
export { chromium } from "./chromium.ts";
export { mutations } from "./mutations.ts";
export { PowerCutDisk } from "./power-cut-disk.ts";
export { Random } from "./random.ts";
export { tinyJfr } from "./tiny-jfr.ts";
export type { TinyJfrEvent } from "./tiny-jfr.ts";
export { tinyPprof } from "./tiny-pprof.ts";
export type { TinyProfile } from "./tiny-pprof.ts";
export { temporaryFolder } from "./folders.ts";
export { bundledWorker } from "./worker-script.ts";
export {
  aptProgram,
  freePort,
  installing,
  missing,
  npmPackage,
  PARTS,
  pipProgram,
  startRedis,
  startS3Server,
} from "./real-parts.ts";
export type { RedisServer, S3Server } from "./real-parts.ts";
export { sharedTestdata } from "./shared.ts";
