/** Source information of a program from agents, in its mapping's build ID. */
interface Sources {
  repository?: string;
  git_ref?: string;
  root_path?: string;
}

/** The path of a file in a repository; undefined if the file name does not contain it. */
function pathIn(repository: URL, filename: string, root: string): string | undefined {
  const slashes = filename.replaceAll("\\", "/"),
    own = `${repository.host}${repository.pathname.replace(/(\.git)?\/*$/, "")}`;
  // A Go program built with -trimpath: module, optionally with its version, then the path in the module.
  const module = slashes.startsWith(own) ? /^(?:@[^/]+)?\/(.+)$/.exec(slashes.slice(own.length)) : null;
  if (module) return module[1];
  if (!slashes.startsWith("/") && !/^[a-z]:/i.test(slashes))
    return /^[\w.-]+\.[a-z]+\//i.test(slashes)
      ? undefined
      : `${root === "" ? "" : `${root.replaceAll(/^\/+|\/+$/g, "")}/`}${slashes.replace(/^(\.\/)+/, "")}`;
  // A path on the build machine, below a folder with the repository's name.
  const folder = `/${own.split("/").at(-1)!}/`,
    at = slashes.lastIndexOf(folder);
  return at < 0 ? undefined : slashes.slice(at + folder.length);
}

/**
 * The page of a line at the host of its repository. Exists only if agents sent the labels service_repository
 * (and service_git_ref, service_root_path), and the file name contains the path in the repository.
 */
export function sourceLink(filename: string, line: number, buildId: string): string | undefined {
  let sources: Sources, repository: URL;
  try {
    sources = JSON.parse(buildId) as Sources;
    repository = new URL(sources.repository ?? "");
  } catch {
    return undefined;
  } // the build ID has no source information
  if (repository.protocol !== "https:" && repository.protocol !== "http:") return undefined;
  const path = pathIn(repository, filename, sources.root_path ?? "");
  if (path === undefined || path.split("/").includes("..")) return undefined;
  const base = `${repository.origin}${repository.pathname.replace(/(\.git)?\/*$/, "")}`,
    blob = /(^|\.)gitlab\./.test(repository.host) ? "-/blob" : "blob";
  return `${base}/${blob}/${encodeURIComponent(sources.git_ref ?? "HEAD")}/${path.split("/").map(encodeURIComponent).join("/")}${line > 0 ? `#L${line}` : ""}`;
}
