import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { CinderblockError } from "@cinderblock/errors";

/** Tokens of a signed-in person; times are milliseconds, 0 for tokens that do not expire. */
export interface Session {
  accessToken: string;
  expiresMs: number;
  refreshToken: string;
  refreshExpiresMs: number;
}

const COOKIE = "pyroscope_git_session";
const NONCE_BYTES = 12,
  TAG_BYTES = 16;

function keyOf(secret: string, tenant: string): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, "", `cinderblock github session of ${tenant}`, 32));
}

/** Encrypts a session for a tenant: AES-256-GCM with a key derived for the tenant. */
export function encryptSession(session: Session, secret: string, tenant: string): string {
  const nonce = randomBytes(NONCE_BYTES),
    cipher = createCipheriv("aes-256-gcm", keyOf(secret, tenant), nonce),
    body = Buffer.concat([cipher.update(JSON.stringify(session)), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString("base64url");
}

/**
 * Decrypts a text from `encryptSession`.
 * @throws `unauthenticated` for any other text, including another tenant's
 */
export function decryptSession(text: string, secret: string, tenant: string): Session {
  const all = Buffer.from(text, "base64url");
  try {
    const decipher = createDecipheriv("aes-256-gcm", keyOf(secret, tenant), all.subarray(0, NONCE_BYTES));
    decipher.setAuthTag(all.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    return JSON.parse(
      Buffer.concat([decipher.update(all.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString(
        "utf8",
      ),
    ) as Session;
  } catch (err) {
    throw new CinderblockError(
      "unauthenticated",
      "the GitHub session belongs to another server or another tenant: sign in again",
      { cause: err },
    );
  }
}

/** Value of the session's cookie in a Cookie header. */
export function sessionCookie(header: string | undefined): string | undefined {
  for (const part of (header ?? "").split(";")) {
    const [name, ...value] = part.trim().split("=");
    if (name === COOKIE) return value.join("=");
  }
  return undefined;
}

/** Set-Cookie text, valid as long as the session can be renewed. */
export function cookieText(value: string, expiresMs: number): string {
  return `${COOKIE}=${value}; Path=/; ${expiresMs > 0 ? `Expires=${new Date(expiresMs).toUTCString()}; ` : ""}Secure; SameSite=Lax`;
}
