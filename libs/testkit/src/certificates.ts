import { createSign, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./folders.ts";

interface Files {
  cert: string;
  key: string;
}
/** PEM files of an authority, and of certificates that it signs. */
export interface Certificates {
  ca: string;
  sign(name: string, subjectAltName?: string): Files;
  /** a certificate without an authority */
  selfSigned(name: string): Files;
}
const LOCAL = "IP:127.0.0.1,DNS:localhost";

// X.509 by RFC 5280, in DER: the subset for an authority and its leaves in tests.
function der(tag: number, ...parts: (Uint8Array | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((p) => Buffer.from(p)));
  const length =
    body.length < 128
      ? [body.length]
      : body.length < 256
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}
const sequence = (...parts: Buffer[]): Buffer => der(0x30, ...parts);
const text = (s: string): Buffer => der(0x0c, Buffer.from(s));
const boolean = (b: boolean): Buffer => der(0x01, [b ? 255 : 0]);
const bits = (bytes: Uint8Array, unused = 0): Buffer => der(0x03, [unused], bytes);

function oid(dotted: string): Buffer {
  const [a, b, ...rest] = dotted.split(".").map(Number) as [number, number, ...number[]],
    bytes = [40 * a + b];
  for (const n of rest) {
    const groups = [n & 127];
    for (let left = n >>> 7; left > 0; left >>>= 7) groups.unshift((left & 127) | 128);
    bytes.push(...groups);
  }
  return der(0x06, bytes);
}

const ECDSA_WITH_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const name = (commonName: string): Buffer => sequence(der(0x31, sequence(oid("2.5.4.3"), text(commonName))));
const time = (ms: number): Buffer =>
  der(
    0x17,
    Buffer.from(
      `${new Date(ms)
        .toISOString()
        .replaceAll(/[-:T]|\.\d+/g, "")
        .slice(2, 14)}Z`,
    ),
  );
const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), der(0x04, value));

/** Value of the extension for a list such as `IP:127.0.0.1,DNS:localhost`. */
function alternativeNames(list: string): Buffer {
  return sequence(
    ...list.split(",").map((entry) => {
      const [kind, value] = entry.split(":") as [string, string];
      return kind === "IP" ? der(0x87, value.split(".").map(Number)) : der(0x82, Buffer.from(value));
    }),
  );
}

interface Issuer {
  name: string;
  key: KeyObject;
}
interface Subject {
  commonName: string;
  publicKey: KeyObject;
  extensions: readonly Buffer[];
}

const DAY_MS = 86_400_000;
/** Signed certificate as PEM, valid from yesterday for thirty days. */
function certificate(subject: Subject, issuer: Issuer): string {
  const body = sequence(
    der(0xa0, der(0x02, [2])), // version 3
    der(0x02, [1], randomBytes(8)), // a positive serial number
    ECDSA_WITH_SHA256,
    name(issuer.name),
    sequence(time(Date.now() - DAY_MS), time(Date.now() + 30 * DAY_MS)),
    name(subject.commonName),
    subject.publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...subject.extensions)),
  );
  const signature = createSign("sha256").update(body).sign(issuer.key);
  const lines = sequence(body, ECDSA_WITH_SHA256, bits(signature))
    .toString("base64")
    .match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

const newKey = (): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync("ec", { namedCurve: "P-256" });

/** A new authority for a test. */
export function certificates(): Certificates {
  const dir = temporaryFolder(),
    ca = join(dir, "ca.pem"),
    AUTHORITY = "test authority",
    authority = newKey();
  const extensions = [
    extension("2.5.29.19", true, sequence(boolean(true))), // an authority
    extension("2.5.29.15", true, bits(Uint8Array.of(0b0000_0100), 2)), // signs certificates
  ];
  const { publicKey, privateKey } = authority;
  writeFileSync(
    ca,
    certificate({ commonName: AUTHORITY, publicKey, extensions }, { name: AUTHORITY, key: privateKey }),
  );
  const make = (commonName: string, subjectAltName: string, issuer?: Issuer): Files => {
    const own = newKey(),
      files = { cert: join(dir, `${commonName}.pem`), key: join(dir, `${commonName}.key`) },
      names = extension("2.5.29.17", false, alternativeNames(subjectAltName));
    writeFileSync(
      files.cert,
      certificate(
        { commonName, publicKey: own.publicKey, extensions: [names] },
        issuer ?? { name: commonName, key: own.privateKey },
      ),
    );
    writeFileSync(files.key, own.privateKey.export({ type: "pkcs8", format: "pem" }));
    return files;
  };
  return {
    ca,
    sign: (commonName, subjectAltName = LOCAL) =>
      make(commonName, subjectAltName, { name: AUTHORITY, key: privateKey }),
    selfSigned: (commonName) => make(commonName, LOCAL),
  };
}
