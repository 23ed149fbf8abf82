import { sourceLink } from "./source-link.ts";

const build = (more: object): string =>
  JSON.stringify({ repository: "https://github.com/acme/shop", git_ref: "v1.2", ...more });

describe("the source link of a line", () => {
  it.each([
    [
      "github.com/acme/shop/cart/cart.go",
      12,
      build({}),
      "https://github.com/acme/shop/blob/v1.2/cart/cart.go#L12",
    ],
    [
      "github.com/acme/shop@v1.2.0/cart.go",
      0,
      build({ git_ref: undefined }),
      "https://github.com/acme/shop/blob/HEAD/cart.go",
    ],
    [
      "src/cart#1.py",
      3,
      build({ root_path: "/services/cart/" }),
      "https://github.com/acme/shop/blob/v1.2/services/cart/src/cart%231.py#L3",
    ],
    [
      "./cart.js",
      3,
      build({ repository: "https://gitlab.example.com/a/b.git", git_ref: "feature/x" }),
      "https://gitlab.example.com/a/b/-/blob/feature%2Fx/cart.js#L3",
    ],
    ["/home/ci/shop/cart/cart.rb", 7, build({}), "https://github.com/acme/shop/blob/v1.2/cart/cart.rb#L7"],
    ["C:\\build\\shop\\Cart.cs", 7, build({}), "https://github.com/acme/shop/blob/v1.2/Cart.cs#L7"],
  ])("of %s:%i", (file, line, buildId, url) => {
    expect(sourceLink(file, line, buildId)).toBe(url);
  });

  it.each([
    ["a plain build id", "cart.go", "8f3a"],
    ["no repository", "cart.go", "{}"],
    ["another module", "github.com/other/lib/x.go", build({})],
    ["a machine's path", "/usr/local/go/src/runtime/proc.go", build({})],
    ["an invalid repository", "cart.go", build({ repository: "javascript:alert(1)" })],
    ["a way out", "../../secrets", build({})],
  ])("is absent for %s", (_what, file, buildId) => {
    expect(sourceLink(file, 1, buildId)).toBeUndefined();
  });
});
