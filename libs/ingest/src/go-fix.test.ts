import { PprofDecoder } from "@cinderblock/pprof";
import { detectLanguage } from "./go-fix.ts";
import { StackBuilder } from "./stack-builder.ts";

describe("the language of a profile", () => {
  const of = (name: string, spy = "unknown"): string => {
    const stacks = new StackBuilder(),
      header = { sampleTypes: [{ type: "cpu", unit: "ns" }], period: 0n, timeNanos: 0n, durationNanos: 0n };
    stacks.add(stacks.child(0, stacks.location(name)), 1);
    return detectLanguage(new PprofDecoder().decode(stacks.encode(header)), spy);
  };

  it.each([
    ["main.go", "go"],
    ["/usr/local/go/src/a", "go"],
    ["java/lang/Thread.run", "java"],
    ["sun/misc/a", "java"],
    ["app.rb", "ruby"],
    ["gems/rack", "ruby"],
    ["./node_modules/a", "nodejs"],
    ["index.js", "nodejs"],
    ["System.Threading", "dotnet"],
    ["Microsoft.AspNetCore", "dotnet"],
    ["app.py", "python"],
    ["main.rs", "rust"],
    ["src/core.rs", "rust"],
    ["größe.go", "go"],
    ["gopher", "unknown"],
    ["go", "unknown"],
    ["other.rs", "unknown"],
  ])("of %s is %s", (name, language) => {
    expect(of(name)).toBe(language);
  });
  it("is the agent's, if it tells one", () => {
    expect(of("app.py", "rbspy")).toBe("ruby");
  });
});
