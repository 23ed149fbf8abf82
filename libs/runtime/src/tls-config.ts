import { bool, type ConfigOf, str } from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { CLIENT_AUTH, type ClientTls, type ServerTls } from "@cinderblock/rpc";

/** TLS options of the port, with v1's names, and of calls between the processes of a cluster. */
export const tlsSchema = {
  tlsCert: str(
    "server.http-tls-cert-path",
    "server.http_tls_config.cert_file",
    "",
    "PEM file with the server's certificate and its chain; with it the port speaks TLS alone. Read again when it changes.",
  ),
  tlsKey: str(
    "server.http-tls-key-path",
    "server.http_tls_config.key_file",
    "",
    "PEM file with the key of the server's certificate.",
  ),
  tlsClientCa: str(
    "server.http-tls-ca-path",
    "server.http_tls_config.client_ca_file",
    "",
    "PEM file with the authorities of clients' certificates; empty: the system's.",
  ),
  tlsClientAuth: str(
    "server.http-tls-client-auth",
    "server.http_tls_config.client_auth_type",
    "NoClientCert",
    "Whether clients show a certificate.",
    { choices: [...CLIENT_AUTH, ""] },
  ),
  tlsMinVersion: str(
    "server.tls-min-version",
    "server.tls_min_version",
    "",
    "Least version of TLS; empty: 1.2.",
    { choices: ["", "VersionTLS12", "VersionTLS13"] },
  ),
  tlsCiphers: str(
    "server.tls-cipher-suites",
    "server.tls_cipher_suites",
    "",
    "Suites up to TLS 1.2, separated by commas, like TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256; empty: Node's.",
  ),
  clientTls: bool(
    "internal-client.tls-enabled",
    "internal_client.tls_enabled",
    false,
    "Call the other processes of the cluster over TLS.",
  ),
  clientTlsCa: str(
    "internal-client.tls-ca-path",
    "internal_client.tls_ca_path",
    "",
    "PEM file with the authorities of the others' certificates; empty: the system's and those of NODE_EXTRA_CA_CERTS.",
  ),
  clientTlsCert: str(
    "internal-client.tls-cert-path",
    "internal_client.tls_cert_path",
    "",
    "PEM file with the certificate that this process shows the others; empty: none.",
  ),
  clientTlsKey: str(
    "internal-client.tls-key-path",
    "internal_client.tls_key_path",
    "",
    "PEM file with the key of that certificate.",
  ),
  clientTlsName: str(
    "internal-client.tls-server-name",
    "internal_client.tls_server_name",
    "",
    "Name that the others' certificates bear; empty: the address that is called.",
  ),
  clientTlsInsecure: bool(
    "internal-client.tls-insecure-skip-verify",
    "internal_client.tls_insecure_skip_verify",
    false,
    "Do not verify the others' certificates.",
  ),
};

export type TlsConfig = ConfigOf<typeof tlsSchema>;

/** TLS settings of the port; undefined: cleartext. @throws `invalid` for contradictory settings */
export function serverTlsOf(c: TlsConfig): ServerTls | undefined {
  if ((c.tlsCert === "") !== (c.tlsKey === ""))
    throw new CinderblockError(
      "invalid",
      "-server.http-tls-cert-path and -server.http-tls-key-path go together: set both, or neither",
    );
  if (c.tlsCert === "") {
    if (c.tlsClientAuth !== "" && c.tlsClientAuth !== "NoClientCert")
      throw new CinderblockError(
        "invalid",
        `-server.http-tls-client-auth=${c.tlsClientAuth} needs -server.http-tls-cert-path and -server.http-tls-key-path`,
      );
    return undefined;
  }
  return {
    certPath: c.tlsCert,
    keyPath: c.tlsKey,
    clientCaPath: c.tlsClientCa,
    clientAuth: (c.tlsClientAuth === "" ? "NoClientCert" : c.tlsClientAuth) as ServerTls["clientAuth"],
    minVersion: c.tlsMinVersion === "VersionTLS13" ? "TLSv1.3" : "TLSv1.2",
    cipherSuites: c.tlsCiphers
      .split(",")
      .map((s) => s.trim())
      .filter((s) => s !== ""),
  };
}

/**
 * TLS settings of calls to other processes; undefined: cleartext.
 * @throws `invalid` for impossible settings
 */
export function clientTlsOf(c: TlsConfig): ClientTls | undefined {
  if ((c.clientTlsCert === "") !== (c.clientTlsKey === ""))
    throw new CinderblockError(
      "invalid",
      "-internal-client.tls-cert-path and -internal-client.tls-key-path go together: set both, or neither",
    );
  if (!c.clientTls) return undefined;
  return {
    caPath: c.clientTlsCa,
    certPath: c.clientTlsCert,
    keyPath: c.clientTlsKey,
    serverName: c.clientTlsName,
    insecureSkipVerify: c.clientTlsInsecure,
  };
}

/**
 * Checks that the processes of a cluster call each other all over TLS, or all in cleartext.
 * @throws `invalid`
 */
export function checkClusterTls(c: TlsConfig): void {
  const server = serverTlsOf(c),
    client = clientTlsOf(c);
  if (server && !client)
    throw new CinderblockError(
      "invalid",
      "-server.http-tls-cert-path makes this process speak TLS alone: its cluster has to call it so, set -internal-client.tls-enabled on all of its processes",
    );
  if (client && !server)
    throw new CinderblockError(
      "invalid",
      "-internal-client.tls-enabled calls the other processes over TLS, and this one speaks none: set -server.http-tls-cert-path and -server.http-tls-key-path",
    );
  if (server?.clientAuth.startsWith("Require") && client?.certPath === "")
    throw new CinderblockError(
      "invalid",
      `-server.http-tls-client-auth=${server.clientAuth} keeps the cluster's own processes out: set -internal-client.tls-cert-path and -internal-client.tls-key-path`,
    );
}
