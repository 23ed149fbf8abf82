/** The GitHub App for sign-in, from v1's environment variables. */
export interface GithubSettings {
  clientId: string;
  clientSecret: string;
  sessionSecret: string;
  callbackUrl: string;
  /** base URL of the pages for people, also of the sources */
  url: string;
  apiUrl: string;
}

/**
 * Settings from the environment; undefined unless all three secrets are set. GITHUB_URL and GITHUB_API_URL
 * select a GitHub Enterprise Server.
 */
export function githubSettings(
  env: Readonly<Record<string, string | undefined>>,
): GithubSettings | undefined {
  const clientId = env.GITHUB_CLIENT_ID ?? "",
    clientSecret = env.GITHUB_CLIENT_SECRET ?? "",
    sessionSecret = env.GITHUB_SESSION_SECRET ?? "";
  if (clientId === "" || clientSecret === "" || sessionSecret === "") return undefined;
  const trimmed = (url: string): string => url.replace(/\/+$/, "");
  return {
    clientId,
    clientSecret,
    sessionSecret,
    callbackUrl: env.GITHUB_CALLBACK_URL ?? "",
    url: trimmed(env.GITHUB_URL ?? "https://github.com"),
    apiUrl: trimmed(env.GITHUB_API_URL ?? "https://api.github.com"),
  };
}
