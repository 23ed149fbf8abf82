export { codeName, EDGE, httpError, INGEST_EDGE, toConnectError } from "./edge.ts";
export { ApiServer } from "./server.ts";
export type { Routes, ServerConfig } from "./server.ts";
export { rawUnary } from "./raw-unary.ts";
export type { RawCall, RawHandler } from "./raw-unary.ts";
export { acceptRawBodies } from "./body.ts";
export { Code, ConnectError } from "@connectrpc/connect";
export type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
export type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
