import { RE2JS } from "re2js";
import { hiddenOf, FILTER_PRESETS } from "./presets.ts";

/** Matches like the server does for a pattern between slashes. */
const textFilter = (pattern: string) => {
  const re = RE2JS.compile(pattern.slice(1, -1), RE2JS.CASE_INSENSITIVE);
  return (name: string): boolean => re.matcher(name).find();
};
const hidden = (preset: string, names: readonly string[]): string[] =>
  names.filter((n) => FILTER_PRESETS.find(([name]) => name === preset)![1].some((p) => textFilter(p)(n)));

describe("hidden functions of a runtime", () => {
  it.each([
    [
      "Go runtime",
      ["runtime.mallocgc", "internal/poll.(*FD).Read"],
      ["Runtimes.go", "main.runtime", "github.com/a/internal/b.F"],
    ],
    [
      "JVM & JDK",
      ["java/lang/Thread.run", "sun.nio.ch.NioSocketImpl.read", "com/sun/net/httpserver.Run", "JVM_Clone"],
      ["com.shop.java.Cart", "javascript.run"],
    ],
    [
      "Node.js & V8",
      ["node:internal/process/task_queues", "(garbage collector)", "v8::internal::Heap"],
      ["(anonymous) cart.js:3", "node_modules/x"],
    ],
    [
      "Python interpreter",
      ["<frozen importlib._bootstrap>", "_PyEval_EvalFrameDefault", "PyObject_Call"],
      ["pytest.run", "python_handler"],
    ],
    ["Ruby internals", ["<internal:kernel> - loop", "rb_ary_each", "vm_exec"], ["app.rb - <main>"]],
    [
      ".NET framework",
      ["System.Threading.Monitor.Wait", "Microsoft!AspNetCore"],
      ["system.handler", "Systems.Run"],
    ],
    ["Kernel & libc", ["__libc_start_main", "do_syscall_64", "[unknown]"], ["download", "libcart"]],
  ])("%s", (preset, wanted, others) => {
    expect(hidden(preset, [...wanted, ...others])).toEqual(wanted);
  });

  it("anchors at the beginning of the name, since every name of an answer is tested", () => {
    for (const [, patterns] of FILTER_PRESETS)
      for (const p of patterns) expect(p.startsWith("/^")).toBe(true);
  });

  it("has the name of its preset, once all patterns of it are hidden", () => {
    const [jvm, node] = [FILTER_PRESETS[1]!, FILTER_PRESETS[2]!];
    expect(hiddenOf(["main", ...jvm[1]]).map((h) => h.name)).toEqual(["JVM & JDK", "main"]);
    expect(hiddenOf([jvm[1][0]!, ...node[1]]).map((h) => h.name)).toEqual(["Node.js & V8", jvm[1][0]]);
    expect(hiddenOf([])).toEqual([]);
  });
});
