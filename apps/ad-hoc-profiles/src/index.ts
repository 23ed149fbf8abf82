export { adHocProfiles } from "./app.ts";
export { debugFilesApi } from "./debug-files-api.ts";
export { AdHocFiles } from "./files.ts";
export { adHocRpc } from "./rpc.ts";
