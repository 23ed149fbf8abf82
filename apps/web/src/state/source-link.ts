/** What agents told of the sources of a program, by way of its mapping's build id. */
interface Sources {
  repository?: string;
  git_ref?: string;
  root_path?: string;
}

/** The path of a file in a repository; undefined where the file's name does not tell. */
function pathIn(repository: URL, filename: string, root: string): string | undefined {
  const slashes = filename.replaceAll("\\", "/"),
    own = `${repository.host}${repository.pathname.replace(/(\.git)?\/*$/, "")}`;
  // A Go program that was built with -trimpath: module, perhaps with its version, then the path in it.
  const module = slashes.startsWith(own) ? /^(?:@[^/]+)?\/(.+)$/.exec(slashes.slice(own.length)) : null;
  if (module) return module[1];
  if (!slashes.startsWith("/") && !/^[a-z]:/i.test(slashes))
    return /^[\w.-]+\.[a-z]+\//i.test(slashes)
      ? undefined
      : `${root === "" ? "" : `${root.replaceAll(/^\/+|\/+$/g, "")}/`}${slashes.replace(/^(\.\/)+/, "")}`;
  // A path of the machine that built it, below a folder that is named as the repository is.
  const folder = `/${own.split("/").at(-1)!}/`,
    at = slashes.lastIndexOf(folder);
  return at < 0 ? undefined : slashes.slice(at + folder.length);
}

/**
 * The page of a line at the host of its repository. A link only where the file's place is known: agents sent the labels
 * service_repository (and service_git_ref, service_root_path), and the file's name leads there.
 */
export function sourceLink(filename: string, line: number, buildId: string): string | undefined {
  let sources: Sources, repository: URL;
  try {
    sources = JSON.parse(buildId) as Sources;
    repository = new URL(sources.repository ?? "");
  } catch {
    return undefined;
  } // a plain build id
  if (repository.protocol !== "https:" && repository.protocol !== "http:") return undefined;
  const path = pathIn(repository, filename, sources.root_path ?? "");
  if (path === undefined || path.split("/").includes("..")) return undefined;
  const base = `${repository.origin}${repository.pathname.replace(/(\.git)?\/*$/, "")}`,
    blob = /(^|\.)gitlab\./.test(repository.host) ? "-/blob" : "blob";
  return `${base}/${blob}/${encodeURIComponent(sources.git_ref ?? "HEAD")}/${path.split("/").map(encodeURIComponent).join("/")}${line > 0 ? `#L${line}` : ""}`;
}
