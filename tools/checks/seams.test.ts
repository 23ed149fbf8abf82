import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const ROOT = join(import.meta.dirname, "../..");

/** Methods that one thread or process serves and others call. */
interface Seam {
  /** file with the declaration of the methods */
  declared: string;
  /** names of the declarations: interfaces, or services of generated code */
  names: readonly string[];
  callers: readonly string[];
  server: string;
}
const SEAMS: readonly Seam[] = [
  {
    declared: "apps/ingester/src/protocol.ts",
    names: ["IngestWorkerMethods", "IngestWorkerNotices"],
    callers: [
      "apps/ingester/src/ingester.ts",
      "apps/ingester/src/ingester-source.ts",
      "apps/ingester/src/push-dispatcher.ts",
    ],
    server: "apps/ingester/src/ingest-worker.ts",
  },
  {
    declared: "apps/distributor/src/validator.ts",
    names: ["ValidateWorkerMethods"],
    callers: ["apps/distributor/src/validator.ts"],
    server: "apps/distributor/src/validate-worker.ts",
  },
  {
    declared: "libs/query-worker/src/protocol.ts",
    names: ["QueryWorkerMethods"],
    callers: ["libs/query-worker/src/pool.ts"],
    server: "libs/query-worker/src/worker.ts",
  },
  {
    declared: "apps/compactor/src/protocol.ts",
    names: ["CompactWorkerMethods"],
    callers: ["apps/compactor/src/job-runner.ts"],
    server: "apps/compactor/src/compact-worker.ts",
  },
  {
    declared: "libs/symbolizer/src/reader-protocol.ts",
    names: ["ReaderMethods"],
    callers: ["libs/symbolizer/src/debug-files.ts", "libs/symbolizer/src/table-store.ts"],
    server: "libs/symbolizer/src/reader-worker.ts",
  },
  ...[
    { file: "ingester", name: "IngesterService", at: "push" },
    { file: "partition", name: "PartitionService", at: "partitions" },
    { file: "source", name: "SourceService", at: "source" },
    { file: "store_gateway", name: "StoreGatewayService", at: "store" },
    { file: "query_scheduler", name: "QuerySchedulerService", at: "scheduler" },
  ].map(({ file, name, at }) => ({
    declared: `libs/api/src/gen/cinderblock/internal/v1/${file}_pb.d.ts`,
    names: [name],
    callers: [`libs/transport/src/${at}.ts`],
    server: `libs/transport/src/${at}.ts`,
  })),
];

/** Member names of the methods that a file declares under one of `names`. */
function methodNames(file: ts.SourceFile, names: readonly string[]): ts.Identifier[] {
  const found: ts.Identifier[] = [];
  const members = (list: ts.NodeArray<ts.TypeElement>): void => {
    for (const { name } of list) if (name && ts.isIdentifier(name)) found.push(name);
  };
  for (const statement of file.statements) {
    if (ts.isInterfaceDeclaration(statement) && names.includes(statement.name.text))
      members(statement.members);
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name, type } of statement.declarationList.declarations) {
      if (!ts.isIdentifier(name) || !names.includes(name.text) || !type || !ts.isTypeReferenceNode(type))
        continue;
      const [methods] = type.typeArguments ?? [];
      if (methods && ts.isTypeLiteralNode(methods)) members(methods.members);
    }
  }
  return found;
}

/** The file's text with each name replaced; other occurrences of the names stay. */
function renamed(file: ts.SourceFile, names: readonly ts.Identifier[]): string {
  let text = file.text;
  for (const name of [...names].sort((a, b) => b.pos - a.pos))
    text = `${text.slice(0, name.getStart(file))}${name.text}Renamed${text.slice(name.end)}`;
  return text;
}

const { options } = ts.parseJsonConfigFileContent(
  JSON.parse(readFileSync(join(ROOT, "tsconfig.base.json"), "utf8")),
  ts.sys,
  ROOT,
);
const settings: ts.CompilerOptions = { ...options, noEmit: true, composite: false, types: ["node"] };
delete settings.emitDeclarationOnly;
const roots = [...new Set(SEAMS.flatMap((s) => [s.declared, ...s.callers, s.server]))].map((f) =>
  join(ROOT, f),
);

/** The program of the files at the seams; parsed files are kept for the next one. */
const parsed = new Map<string, ts.SourceFile | undefined>();
function programWith(texts: ReadonlyMap<string, string>, old?: ts.Program): ts.Program {
  const host = ts.createCompilerHost(settings);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (path, version) => {
    const text = texts.get(path);
    if (text !== undefined) return ts.createSourceFile(path, text, version, true);
    if (!parsed.has(path)) parsed.set(path, read(path, version));
    return parsed.get(path);
  };
  return ts.createProgram(roots, settings, host, old);
}
const problems = (program: ts.Program, file: string): string[] =>
  program
    .getSemanticDiagnostics(program.getSourceFile(join(ROOT, file)))
    .map((d) => ts.flattenDiagnosticMessageText(d.messageText, "\n"));

describe("a renamed method", () => {
  let before: ts.Program, after: ts.Program;
  beforeAll(() => {
    before = programWith(new Map());
    after = programWith(
      new Map(
        SEAMS.map(({ declared, names }) => {
          const path = join(ROOT, declared),
            file = before.getSourceFile(path)!;
          return [path, renamed(file, methodNames(file, names))];
        }),
      ),
      before,
    );
  }, 60_000);

  it.each(SEAMS)(
    "of $names fails the type check where it is called and where it is served",
    ({ declared, names, callers, server }) => {
      const methods = methodNames(before.getSourceFile(join(ROOT, declared))!, names).map((n) => n.text);
      expect(methods.length).toBeGreaterThan(0);
      for (const file of [...callers, server]) expect([file, problems(before, file)]).toEqual([file, []]);
      const calls = callers.flatMap((file) => problems(after, file)),
        handlers = problems(after, server),
        naming = (list: readonly string[], method: string): boolean =>
          list.some((p) => p.includes(`'${method}'`) || p.includes(`${method}Renamed`));
      expect(methods.filter((m) => !naming([...calls, ...handlers], m))).toEqual([]);
      expect(methods.some((m) => naming(calls, m))).toBe(true);
      expect(methods.some((m) => naming(handlers, m))).toBe(true);
    },
    60_000,
  );
});
