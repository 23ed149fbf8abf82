/** The GitHub App that people sign in with; v1's environment variables. */
export interface GithubSettings {
  clientId: string;
  clientSecret: string;
  sessionSecret: string;
  callbackUrl: string;
  /** of people and of sources */
  url: string;
  apiUrl: string;
}

/** Undefined where it is not configured: all three secrets have to be there. GITHUB_URL and GITHUB_API_URL name a GitHub Enterprise Server. */
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
