export { QueryFrontend } from "./frontend.ts";
export type { JobQueue, Renderer } from "./frontend.ts";
export { frontendRpc } from "./rpc.ts";
export { renderRoutes } from "./render-api.ts";
