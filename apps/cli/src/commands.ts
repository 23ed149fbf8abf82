import { helpText, loadConfig } from "@cinderblock/config";
import { buildInfo, commonSchema, knownNames } from "@cinderblock/runtime";
import { compactSelected, inspectBlocks, listBlocks, rebuildIndex, verifyBlocks } from "./blocks.ts";
import { checkConfig } from "./config-check.ts";
import { createBase, type CliConfig, type CommandContext, type CommandOutput, schema } from "./context.ts";
import { cancelDeletion, deleteSeries, listDeletions } from "./deletions.ts";
import { importProfiles } from "./import.ts";
import { forgetIngester, listIngesters } from "./ingesters.ts";
import { pushProfiles } from "./push.ts";
import { printLabelNames, writePprof, printSeries, printTop } from "./query.ts";
import { printPartitions, printRing, printServerTop } from "./server.ts";
import { storeDebugFiles, listSymbols, lookUpAddress, removeSymbols } from "./symbols.ts";

/** Every command: its words, its arguments, its purpose. */
const COMMANDS: readonly {
  words: string;
  args: string;
  does: string;
  run: (c: CommandContext) => Promise<number>;
}[] = [
  {
    words: "config check",
    args: "FILE…",
    does: "print what becomes of each key of a server's configuration file: taken, mapped, without effect, refused",
    run: checkConfig,
  },
  {
    words: "push",
    args: "FILE…",
    does: "push profile files to the server at -url: pprof, V8 .cpuprofile, JFR, speedscope, folded text",
    run: pushProfiles,
  },
  {
    words: "top",
    args: "",
    does: "print the functions with the largest self values from the server at -url: -profile-type -query -from -to -limit",
    run: printServerTop,
  },
  { words: "blocks list", args: "", does: "list the blocks of a bucket", run: listBlocks },
  {
    words: "blocks inspect",
    args: "ULID…",
    does: "print the content of blocks: files, profile types, services, series",
    run: inspectBlocks,
  },
  {
    words: "blocks verify",
    args: "[ULID…]",
    does: "verify blocks completely: checksums, order, sums and references; exit 1 if a block is damaged",
    run: verifyBlocks,
  },
  {
    words: "blocks compact",
    args: "ULID ULID…",
    does: "merge blocks into one block, or into -shards blocks, and upload the result",
    run: compactSelected,
  },
  { words: "index rebuild", args: "", does: "rebuild the bucket index of tenants", run: rebuildIndex },
  {
    words: "series delete",
    args: "",
    does: "request the deletion of the profiles that match -query between -from and -to; -dry-run counts them",
    run: deleteSeries,
  },
  {
    words: "deletions list",
    args: "",
    does: "list deletion requests with their requesters and progress",
    run: listDeletions,
  },
  {
    words: "deletions cancel",
    args: "ID",
    does: "cancel a deletion request; deleted profiles stay deleted",
    run: cancelDeletion,
  },
  {
    words: "query top",
    args: "",
    does: "print the functions with the largest self values, without a server",
    run: printTop,
  },
  { words: "query series", args: "", does: "label sets", run: printSeries },
  { words: "query labels", args: "", does: "list label names", run: printLabelNames },
  { words: "query pprof", args: "", does: "write a merged pprof to -out", run: writePprof },
  {
    words: "query export",
    args: "",
    does: "export profiles in -format to -out: a table of samples, a flame graph, or another program's file",
    run: async (c) => (await import("./export.ts")).exportProfiles(c),
  },
  {
    words: "import",
    args: "FILE|FOLDER…",
    does: "import pprof files of any age as blocks of the bucket, under -name",
    run: importProfiles,
  },
  {
    words: "symbols add",
    args: "FILE…",
    does: "upload debug files of programs to the bucket to name their native frames (-symbolizer.enabled)",
    run: storeDebugFiles,
  },
  {
    words: "symbols list",
    args: "",
    does: "list the build IDs of the debug files in the bucket",
    run: listSymbols,
  },
  {
    words: "symbols remove",
    args: "BUILD-ID…",
    does: "delete debug files from the bucket",
    run: removeSymbols,
  },
  {
    words: "symbols lookup",
    args: "FILE ADDRESS…",
    does: "print the functions at addresses of a debug file, inlined functions first",
    run: lookUpAddress,
  },
  {
    words: "ingesters list",
    args: "",
    does: "list ingesters that may hold profiles that the bucket lacks",
    run: listIngesters,
  },
  {
    words: "ingesters forget",
    args: "ID",
    does: "remove the roster entry of a lost ingester",
    run: forgetIngester,
  },
  {
    words: "partitions",
    args: "",
    does: "list the partitions of the Kafka topic with owners, offsets and lag; queries -url",
    run: printPartitions,
  },
  {
    words: "ring",
    args: "[ingester|store-gateway|query-scheduler|compactor]",
    does: "list the members of a ring; queries -url",
    run: printRing,
  },
];

function usage(): string {
  return `cinderblock-cli <command> [flags] [arguments]\n\n${COMMANDS.map((c) => `  ${`${c.words} ${c.args}`.padEnd(46)} ${c.does}`).join("\n")}\n\nSet the bucket with -storage.backend=s3 -storage.s3.bucket-name=…, or with a server's -config.file.\ncinderblock-cli <command> -help lists all flags. -output=json prints JSON.\n`;
}

/** Splits arguments into words and flags; like the server, accepts `-tenant=a` and `-tenant a`. */
function divided(argv: readonly string[]): { words: string[]; flags: string[] } {
  const kinds = new Map(Object.values({ ...commonSchema, ...schema }).map((o) => [o.flag, o.kind]));
  const words: string[] = [],
    flags: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const a = argv[i]!,
      name = a.replace(/^--?/, "");
    if (!a.startsWith("-")) {
      words.push(a);
      continue;
    }
    const takesNext =
      !a.includes("=") && (name === "config.file" || (kinds.has(name) && kinds.get(name) !== "bool"));
    flags.push(takesNext && i + 1 < argv.length ? `${a}=${argv[++i]!}` : a);
  }
  return { words, flags };
}

/** Runs a command line; returns the exit code. Never throws: prints errors. */
export async function runCommand(
  argv: readonly string[],
  out: CommandOutput,
  err: CommandOutput,
): Promise<number> {
  const { words, flags } = divided(argv);
  const command = COMMANDS.find((c) => words.slice(0, c.words.split(" ").length).join(" ") === c.words);
  if (argv.includes("-version") || argv.includes("--version")) {
    out.write(`cinderblock-cli ${buildInfo().version} (${buildInfo().revision})\n`);
    return 0;
  }
  if (!command) {
    const asked = argv.length === 0 || ["-h", "-help", "--help", "help"].includes(argv[0]!);
    (asked ? out : err).write(
      asked
        ? usage()
        : `cinderblock-cli: unknown command ${JSON.stringify(words.slice(0, 2).join(" "))}\n\n${usage()}`,
    );
    return asked ? 0 : 2;
  }
  try {
    const args = words.slice(command.words.split(" ").length);
    const { config, help } = loadConfig({ ...commonSchema, ...schema }, flags, process.env, {
      ...knownNames,
      flags: "schema",
    });
    if (help) {
      out.write(
        `${command.words} ${command.args}: ${command.does}\n\n${helpText(schema, `cinderblock-cli ${command.words}`)}`,
      );
      return 0;
    }
    return await command.run({ config: config as unknown as CliConfig, args, out, err, base: createBase() });
  } catch (e) {
    err.write(`cinderblock-cli ${command.words}: ${(e as Error).message}\n`);
    return 1;
  }
}
