import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { temporaryFolder } from "./folders.ts";
import { aptProgram } from "./real-parts.ts";

/** PEM files: an authority, and what it signed. */
export interface Certificates {
  ca: string;
  sign(name: string, subjectAltName?: string): Promise<{ cert: string; key: string }>;
}

/** An authority of the test's own, by openssl; undefined where that cannot be installed. */
export async function certificates(): Promise<Certificates | undefined> {
  if (!(await aptProgram("openssl", "version", "openssl"))) return undefined;
  const dir = temporaryFolder(),
    ca = join(dir, "ca.pem"),
    caKey = join(dir, "ca.key");
  const openssl = (...args: string[]): Promise<unknown> => promisify(execFile)("openssl", args);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    caKey,
    "-out",
    ca,
    "-days",
    "30",
    "-subj",
    "/CN=test authority",
    "-addext",
    "keyUsage=keyCertSign",
  );
  return {
    ca,
    sign: async (name, subjectAltName = "IP:127.0.0.1,DNS:localhost") => {
      const at = (ending: string): string => join(dir, `${name}.${ending}`);
      writeFileSync(at("ext"), `subjectAltName=${subjectAltName}\n`);
      await openssl("req", ...key, "-keyout", at("key"), "-out", at("csr"), "-subj", `/CN=${name}`);
      await openssl(
        "x509",
        "-req",
        "-in",
        at("csr"),
        "-CA",
        ca,
        "-CAkey",
        caKey,
        "-CAcreateserial",
        "-out",
        at("pem"),
        "-days",
        "30",
        "-extfile",
        at("ext"),
      );
      return { cert: at("pem"), key: at("key") };
    },
  };
}
