export { queryFrontend, seenServices } from "./app.ts";
export { QueryFrontend } from "./frontend.ts";
export { frontendRpc } from "./rpc.ts";
export { renderRoutes } from "./render-api.ts";
