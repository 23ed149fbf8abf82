import { readFileSync } from "node:fs";
import { parseYaml } from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { Authorizer } from "@cinderblock/rpc";
import { Tokens } from "@cinderblock/tenant";
import type { CommonConfig } from "./config.ts";

/** Authorizer from `-auth.tokens-file`; without a file every caller is authorized. */
export function authorizerOf(c: CommonConfig): Authorizer {
  if (c.tokensPath === "") return new Authorizer(undefined, c.multitenancy);
  let text: string;
  try {
    text = readFileSync(c.tokensPath, "utf8");
  } catch (err) {
    throw new CinderblockError("invalid", `-auth.tokens-file: ${(err as Error).message}`, { cause: err });
  }
  return new Authorizer(new Tokens(parseYaml(text, c.tokensPath), c.tokensPath), c.multitenancy);
}
