export { storeGateway } from "./app.ts";
export { storeConfigOf } from "./config.ts";
export { StoreGateway } from "./store-gateway.ts";
export { storePages } from "./pages.ts";
