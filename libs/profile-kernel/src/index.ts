export { ProfileKernel } from "./kernel.ts";
export type { ResidentProfile, SymbolSource } from "./kernel.ts";
