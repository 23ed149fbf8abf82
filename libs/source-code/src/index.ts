export { type GithubSettings, githubSettings } from "./settings.ts";
export { sessionCookie } from "./session.ts";
export { type SignInResult, SourceCode } from "./sources.ts";
export type { Commit } from "./github.ts";
