import { createHash } from "node:crypto";
import { checkAccess, Tokens } from "./index.ts";

const AGENT = "agent-token-0123456789",
  ADMIN = "admin-token-0123456789";
const tokens = new Tokens(
  {
    tokens: [
      { name: "agents", token: AGENT, roles: ["write"], tenants: ["a", "b"] },
      { name: "ops", sha256: createHash("sha256").update(ADMIN).digest("hex"), roles: ["read", "admin"] },
    ],
  },
  "f",
);
const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;

describe("tokens", () => {
  it("are accepted as bearer token and as basic password", () => {
    expect(tokens.find(`Bearer ${AGENT}`).name).toBe("agents");
    expect(tokens.find(basic("anyone", AGENT)).name).toBe("agents");
    expect(tokens.find(`bearer ${ADMIN}`).name).toBe("ops");
  });
  it.each([
    undefined,
    "",
    "Bearer",
    "Bearer wrong-token-0123456789",
    "Basic !!!",
    basic(AGENT, ""),
    `Digest ${AGENT}`,
    `Bearer ${AGENT} x`,
  ])("are refused: %s", (header) => {
    expect(() => tokens.find(header)).toThrow(/token|Authorization/);
  });
  it("allow their roles, for their tenants", () => {
    const agents = tokens.find(`Bearer ${AGENT}`),
      ops = tokens.find(`Bearer ${ADMIN}`);
    checkAccess(agents, "write", ["a"]);
    checkAccess(ops, "read", ["anything"]);
    expect(() => checkAccess(agents, "write", ["a", "c"])).toThrow(
      "the token agents has no access to tenant c",
    );
    expect(() => checkAccess(agents, "read", ["a"])).toThrow("the token agents may not query");
  });
  it.each<[unknown, string]>([
    [{}, "f: expected a list below tokens"],
    [{ tokens: [{ token: AGENT }] }, "token 1: expected a name that no other token has"],
    [{ tokens: [{ name: "a", token: "short" }] }, "at least 16 characters"],
    [{ tokens: [{ name: "a" }] }, "either token or sha256"],
    [
      { tokens: [{ name: "a", token: AGENT, roles: ["root"] }] },
      "roles: expected some of write, read, admin",
    ],
    [{ tokens: [{ name: "a", token: AGENT, role: "read" }] }, "unknown key role"],
    [{ tokens: [{ name: "a", sha256: "12" }] }, "64 hexadecimal"],
    [
      {
        tokens: [
          { name: "a", token: AGENT },
          { name: "a", token: ADMIN },
        ],
      },
      "token 2: expected a name that no other token has",
    ],
    [{ tokens: [{ name: "a", token: AGENT, tenants: [] }] }, "tenants: expected names"],
  ])("an invalid file is reported: %#", (document, message) => {
    expect(() => new Tokens(document, "f")).toThrow(message);
  });
});
