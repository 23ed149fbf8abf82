export { type GithubSettings, githubSettings } from "./settings.ts";
export { sessionCookie } from "./session.ts";
export { type SignInResult, Sources } from "./sources.ts";
export type { Commit } from "./github.ts";
