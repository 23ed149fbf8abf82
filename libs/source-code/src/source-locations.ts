import { parseYaml } from "@cinderblock/config";
import { invalidError } from "@cinderblock/errors";
import type { Repository } from "./github.ts";

/** A possible location of a frame's source. */
export interface SourceLocation {
  repository: Repository;
  ref: string;
  path: string;
}
/** A frame's file as named in its profile, and its function. */
export interface FrameFile {
  path: string;
  functionName: string;
}

/**
 * A mapping in `.pyroscope.yaml`: prefixes of frames' paths or functions, and the location of their sources.
 */
interface Mapping {
  paths: string[];
  functions: string[];
  language: string;
  local: string | undefined;
  github: { owner: string; repo: string; ref: string; path: string } | undefined;
}

const MAX_SUFFIXES = 8;

/** Reads `.pyroscope.yaml`. @throws `invalid` */
export function parseMappings(text: string): Mapping[] {
  type Prefix = { prefix?: unknown };
  const file = parseYaml(text, ".pyroscope.yaml of the repository") as {
    source_code?: {
      mappings?: {
        path?: Prefix[];
        function_name?: Prefix[];
        language?: unknown;
        source?: { local?: { path?: unknown }; github?: Record<string, unknown> };
      }[];
    };
  } | null;
  const mappings = file?.source_code?.mappings ?? [],
    s = (v: unknown): string => (typeof v === "string" ? v : "");
  if (!Array.isArray(mappings))
    throw invalidError(".pyroscope.yaml of the repository: source_code.mappings is not a list");
  return mappings.map((m) => ({
    paths: (m.path ?? []).map((p) => s(p.prefix)),
    functions: (m.function_name ?? []).map((p) => s(p.prefix)),
    language: s(m.language),
    local: m.source?.local ? s(m.source.local.path) : undefined,
    github: m.source?.github
      ? {
          owner: s(m.source.github.owner),
          repo: s(m.source.github.repo),
          ref: s(m.source.github.ref),
          path: s(m.source.github.path),
        }
      : undefined,
  }));
}

const clean = (path: string): string =>
  path
    .split("/")
    .filter((p) => p !== "" && p !== "." && p !== "..")
    .join("/");
const under = (folder: string, path: string): string => clean(`${folder}/${path}`);

/**
 * Locations to try in order. The first matching rule decides: a mapping, then Go's known locations, then
 * suffixes of the path in the repository.
 */
export function candidateLocations(
  f: FrameFile,
  mappings: readonly Mapping[],
  repository: Repository,
  ref: string,
  root: string,
): SourceLocation[] {
  for (const m of mappings) {
    const prefix = m.paths.find((p) => f.path.startsWith(p)),
      named = m.functions.some((p) => f.functionName.startsWith(p));
    if (prefix === undefined && !named) continue;
    // Java derives paths from functions, for profiles without paths.
    const rest =
      prefix !== undefined
        ? f.path.slice(prefix.length)
        : m.language === "java"
          ? javaPath(f.functionName)
          : f.path;
    if (m.github)
      return [
        {
          repository: { owner: m.github.owner, name: m.github.repo },
          ref: m.github.ref,
          path: under(m.github.path, rest),
        },
      ];
    if (m.local !== undefined) return [{ repository, ref, path: under(`${root}/${m.local}`, rest) }];
  }
  const go = goPlace(f);
  if (go) return [go];
  // The profile's paths begin at the build folder: the longest existing suffix wins.
  const parts = clean(f.path).split("/");
  return parts
    .slice(0, MAX_SUFFIXES)
    .map((_, i) => ({ repository, ref, path: under(root, parts.slice(i).join("/")) }));
}

function javaPath(functionName: string): string {
  return `${functionName
    .replace(/\.[^./]*$/, "")
    .replaceAll(".", "/")
    .replace(/\$.*$/, "")}.java`;
}

/** Location of a file in Go's standard library or module cache, which its path identifies. */
function goPlace({ path }: FrameFile): SourceLocation | undefined {
  if (!path.endsWith(".go") && !path.endsWith(".s")) return undefined;
  const own =
    /(?:^|\/)go(?:@|\/|-)?v?(\d+\.\d+(?:\.\d+)?)?[^/]*\/(?:libexec\/)?src\/(.+)$/.exec(path) ??
    /^\$?GOROOT()\/src\/(.+)$/.exec(path);
  if (own && !path.includes("/pkg/mod/"))
    return {
      repository: { owner: "golang", name: "go" },
      ref: own[1] ? `go${own[1]}` : "master",
      path: `src/${own[2]!}`,
    };
  const m = /(?:^|\/pkg\/mod\/)((?:[\w.-]+\.[\w.-]+)\/[^@]+)@([^/]+)\/(.+)$/.exec(path);
  if (!m) return undefined;
  const module = m[1]!.replace(/!([a-z])/g, (_, c: string) => c.toUpperCase()),
    [host, owner, name, ...rest] = module.split("/"),
    folder = rest.filter((p) => !/^v\d+$/.test(p)).join("/");
  // Versions without a tag end in the commit. Tags of a module below the repository's root include its
  // folder.
  const commit = /-(?:0\.)?\d{14}-([0-9a-f]{12})$/.exec(m[2]!),
    tag = m[2]!.replace(/\+incompatible$/, ""),
    ref = commit ? commit[1]! : folder === "" ? tag : `${folder}/${tag}`;
  const at = (o: string, n: string): SourceLocation => ({
    repository: { owner: o, name: n },
    ref,
    path: clean(`${folder}/${m[3]!}`),
  });
  if (host === "github.com" && owner && name) return at(owner, name);
  if (host === "golang.org" && owner === "x" && name) return at("golang", name);
  const gopkg = host === "gopkg.in" ? /^gopkg\.in\/(?:([\w-]+)\/)?([\w-]+)\.v\d+/.exec(module) : null;
  return gopkg
    ? { repository: { owner: gopkg[1] ?? `go-${gopkg[2]!}`, name: gopkg[2]! }, ref, path: clean(m[3]!) }
    : undefined;
}
