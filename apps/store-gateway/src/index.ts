export { StoreGateway } from "./store-gateway.ts";
export type { StoreGatewayConfig } from "./store-gateway.ts";
