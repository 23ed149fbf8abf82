import { Linter } from "eslint";
import tseslint from "typescript-eslint";
import { seams } from "./seams.ts";

const linter = new Linter();
/** Names of the rules that code breaks, one for each place. */
function broken(code: string): string[] {
  return linter
    .verify(
      code,
      [
        {
          files: ["**/*.ts"],
          languageOptions: { parser: tseslint.parser },
          plugins: { seams },
          rules: Object.fromEntries(Object.keys(seams.rules).map((name) => [`seams/${name}`, "error"])),
        },
      ],
      "libs/x/src/x.ts",
    )
    .map((m) => m.ruleId ?? m.message);
}

describe("no-string-method", () => {
  it.each([
    'client.call(address, "Ingester", "activeSeries", [])',
    'this.ask("blocks", [tenant])',
    "this.worker!.call(`push`, body)",
    'call("pushRecord", [record])',
    'this.client?.call<number>(address, service, "ping", [])',
    'invoke(aggregate ? "pushAggregate" : "push", [])',
    'worker["call"]("push", body)',
  ])("refuses %s", (code) => expect(broken(code)).toEqual(["seams/no-string-method"]));
  it.each([
    "worker.call.push(body)",
    "client.activeSeries({})",
    'this.call(deadline, "PUT", this.object(name))',
    "hasOwn.call(object, key)",
    'reply.send("done")',
    "this.ask(`${container}/${name}`)",
  ])("accepts %s", (code) => expect(broken(code)).toEqual([]));
});

describe("no-as-never", () => {
  it.each(["serve(methods as never)", "const a = <never>b", "f(x as unknown as never)"])(
    "refuses %s",
    (code) => expect(broken(code)).toEqual(["seams/no-as-never"]),
  );
  it.each(["const a: never[] = []", "function f(x: never): never { return x; }", "f(x as Known)"])(
    "accepts %s",
    (code) => expect(broken(code)).toEqual([]),
  );
});

describe("no-message-test", () => {
  it.each([
    "if (err.message.includes(ulid)) f()",
    "if ((err as Error).message.startsWith('x')) f()",
    "if (err?.message?.match(/x/)) f()",
    "if (/does not know/.test(err.message)) f()",
    "const u = ULID.exec(messageOf(err))",
    "if (/x/.test(`${f.code} ${f.message}`)) f()",
    "if (err.message === 'gone') f()",
    "if ('gone' !== this.message) f()",
    "const f = (err) => err.message.toLowerCase().includes('x')",
    "function f(err) { const { message } = err; return /x/.test(message); }",
    "function f(err) { const { message: text = '' } = err; return text.endsWith('x'); }",
    "function f(err) { const text = err instanceof Error ? err.message : ''; return text.includes('x'); }",
    "function f(err) { const text = messageOf(err), low = text.toLowerCase(); return low.indexOf('x') >= 0; }",
    "switch (err.message) { case 'x': f(); }",
  ])("refuses %s", (code) => expect(broken(code)).toEqual(["seams/no-message-test"]));
  it.each([
    "if (err.kind === 'corrupt' && err.detail.block === ulid) f()",
    "if (CODES.includes(err.code)) f()",
    "throw new CinderblockError('limit', `${err.message}: too many`)",
    "const [code] = reply.message.split(' ', 1)",
    "const p = new Writer().message(1, x)",
    "function f(err) { const message = err.code; return message.includes('x'); }",
  ])("accepts %s", (code) => expect(broken(code)).toEqual([]));
});
