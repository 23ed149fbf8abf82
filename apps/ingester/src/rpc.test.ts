import { createClient, createRouterTransport } from "@connectrpc/connect";
import { IngesterService } from "@cinderblock/api";
import { Authorizer, toConnectError } from "@cinderblock/rpc";
import { Tokens } from "@cinderblock/tenant";
import { ingesterRoutes } from "./rpc.ts";

const ALL = "operator-token-0123456789",
  ONE = "operator-of-a-0123456789",
  AGENT = "agent-token-0123456789";
const TOKENS = new Authorizer(
  new Tokens(
    {
      tokens: [
        { name: "ops", token: ALL, roles: ["admin"] },
        { name: "ops-a", token: ONE, roles: ["admin"], tenants: ["a"] },
        { name: "agent", token: AGENT, roles: ["write"] },
      ],
    },
    "tokens.yaml",
  ),
  true,
);
const NOBODY_ASKED = new Authorizer(undefined, true);

/** The tenant whose heads a Flush cut, "every tenant", or the reason of a refusal. */
async function flushed(
  multitenancy: boolean,
  authorizer: Authorizer,
  headers: Record<string, string>,
): Promise<string> {
  let cut = "nothing";
  const routes = ingesterRoutes(
    {
      flush: (tenant) => {
        cut = tenant ?? "every tenant";
        return Promise.resolve();
      },
    },
    multitenancy,
    authorizer,
  );
  const transport = createRouterTransport((router) => routes.connect!(router), {
    router: {
      interceptors: [
        (next) => async (request) => {
          try {
            return await next(request);
          } catch (err) {
            throw toConnectError(err);
          }
        },
      ],
    },
  });
  try {
    await createClient(IngesterService, transport).flush({}, { headers });
  } catch (err) {
    return (err as Error).message;
  }
  return cut;
}

describe("Flush", () => {
  it("cuts only the heads of the caller's tenant if several tenants share the ingester without a tokens file", async () => {
    expect(await flushed(true, NOBODY_ASKED, { "x-scope-orgid": "a" })).toBe("a");
    expect(await flushed(true, NOBODY_ASKED, {})).toBe("[unauthenticated] no org id");
    expect(await flushed(true, NOBODY_ASKED, { "x-scope-orgid": "a|b" })).toMatch("multiple org IDs");
  });
  it("cuts all heads if only one tenant exists", async () => {
    expect(await flushed(false, NOBODY_ASKED, {})).toBe("every tenant");
  });
  it("cuts the heads of all tenants for an administrator of all tenants, else of the token's tenants", async () => {
    const as = (token: string, tenant: string): Promise<string> =>
      flushed(true, TOKENS, { "x-scope-orgid": tenant, authorization: `Bearer ${token}` });
    expect(await as(ALL, "a")).toBe("every tenant");
    expect(await as(ONE, "a")).toBe("a");
    expect(await as(ONE, "b")).toBe("[permission_denied] the token ops-a has no access to tenant b");
    expect(await as(AGENT, "a")).toMatch("permission_denied");
    expect(await flushed(true, TOKENS, { "x-scope-orgid": "a" })).toMatch("unauthenticated");
  });
});
