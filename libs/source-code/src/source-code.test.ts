import { parseMappings, candidateLocations } from "./source-locations.ts";
import { cookieText, encryptSession, sessionCookie, decryptSession } from "./session.ts";

const repository = { owner: "acme", name: "shop" };
const first = (path: string, functionName = "", mappings = ""): string => {
  const [p] = candidateLocations(
    { path, functionName },
    mappings === "" ? [] : parseMappings(mappings),
    repository,
    "abc",
    "cart",
  );
  return `${p!.repository.owner}/${p!.repository.name}@${p!.ref}:${p!.path}`;
};

describe("sources of frames", () => {
  it("are found by their paths: Go's own, its modules, the repository", () => {
    expect([
      first("/usr/local/go1.26.8/src/runtime/proc.go"),
      first("$GOROOT/src/fmt/print.go"),
      first("/root/go/pkg/mod/github.com/!burnt!sushi/toml@v1.3.2/decode.go"),
      first("/go/pkg/mod/golang.org/x/net@v0.30.0/http2/server.go"),
      first("/go/pkg/mod/gopkg.in/yaml.v3@v3.0.1/decode.go"),
      first("/go/pkg/mod/github.com/acme/tools/lint/v2@v2.1.0/run.go"),
      first("/go/pkg/mod/github.com/acme/lib@v0.0.0-20240102030405-0123456789ab/x.go"),
      first("github.com/acme/lib@v1.2.3+incompatible/x.go"),
    ]).toEqual([
      "golang/go@go1.26.8:src/runtime/proc.go",
      "golang/go@master:src/fmt/print.go",
      "BurntSushi/toml@v1.3.2:decode.go",
      "golang/net@v0.30.0:http2/server.go",
      "go-yaml/yaml@v3.0.1:decode.go",
      "acme/tools@lint/v2.1.0:lint/run.go",
      "acme/lib@0123456789ab:x.go",
      "acme/lib@v1.2.3:x.go",
    ]);
    expect(
      candidateLocations(
        { path: "/build/src/pay/pay.go", functionName: "" },
        [],
        repository,
        "abc",
        "cart",
      ).map((p) => p.path),
    ).toEqual(["cart/build/src/pay/pay.go", "cart/src/pay/pay.go", "cart/pay/pay.go", "cart/pay.go"]);
    // No path leads out of the repository.
    expect(first("../../../etc/passwd")).toBe("acme/shop@abc:cart/etc/passwd");
  });
  it("follow .pyroscope.yaml, by paths or functions", () => {
    const mappings = `
source_code:
  mappings:
    - path: [{prefix: /opt/lib/}]
      language: python
      source: {github: {owner: acme, repo: lib, ref: v2, path: src}}
    - function_name: [{prefix: com/acme/pay}]
      language: java
      source: {local: {path: java/src}}
`;
    expect([
      first("/opt/lib/a/b.py", "", mappings),
      first("", "com/acme/pay/Card$1.charge", mappings),
      first("/x/y.py", "f", mappings),
    ]).toEqual([
      "acme/lib@v2:src/a/b.py",
      "acme/shop@abc:cart/java/src/com/acme/pay/Card.java",
      "acme/shop@abc:cart/x/y.py",
    ]);
    expect(() => parseMappings("source_code: [")).toThrow(".pyroscope.yaml");
    expect(() => parseMappings("source_code: {mappings: 3}")).toThrow("is not a list");
  });
  it("need a session of one tenant, which others cannot create or read", () => {
    const session = {
        accessToken: "secret",
        expiresMs: 1,
        refreshToken: "more",
        refreshExpiresMs: 1_795_409_460_000,
      },
      text = encryptSession(session, "s", "a");
    expect(decryptSession(text, "s", "a")).toEqual(session);
    expect(text + encryptSession(session, "s", "a")).not.toContain("secret");
    expect(encryptSession(session, "s", "a")).not.toBe(text);
    for (const [t, s, tenant] of [
      [text, "s", "b"],
      [text, "other", "a"],
      [`${text.slice(0, -2)}AA`, "s", "a"],
      ["", "s", "a"],
    ] as const)
      expect(() => decryptSession(t, s, tenant)).toThrow("sign in again");
    expect(sessionCookie(`x=1; ${cookieText(text, 1_795_409_460_000).split(";")[0]!}`)).toBe(text);
    expect(sessionCookie("x=1")).toBeUndefined();
  });
});
