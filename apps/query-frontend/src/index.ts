export { queryFrontend } from "./app.ts";
export { resultsCacheOf, sourceCodeOf } from "./config.ts";
export { QueryFrontend } from "./frontend.ts";
export { frontendRpc } from "./rpc.ts";
export { renderRoutes } from "./render-api.ts";
export { webRoutes } from "./web.ts";
export { SlowQueries } from "./slow-queries.ts";
export { slowQueryRoutes } from "./slow-query-page.ts";
