export { adHocProfiles } from "./app.ts";
export { AdHocFiles } from "./files.ts";
export { adHocRpc } from "./rpc.ts";
