import { bool, type ConfigOf, str } from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { CLIENT_AUTH, type ClientTls, type ServerTls } from "@cinderblock/rpc";

/** TLS options of the port, with v1's names, and of calls between the processes of a cluster. */
export const tlsSchema = {
  tlsCert: str(
    "server.http-tls-cert-path",
    "server.http_tls_config.cert_file",
    "",
    "PEM file with the server's certificate chain; reloaded when it changes. With a certificate, the port accepts only TLS.",
  ),
  tlsKey: str(
    "server.http-tls-key-path",
    "server.http_tls_config.key_file",
    "",
    "PEM file with the private key of the server's certificate.",
  ),
  tlsClientCa: str(
    "server.http-tls-ca-path",
    "server.http_tls_config.client_ca_file",
    "",
    "PEM file with the certificate authorities for client certificates. Empty: the system's authorities.",
  ),
  tlsClientAuth: str(
    "server.http-tls-client-auth",
    "server.http_tls_config.client_auth_type",
    "NoClientCert",
    "Policy for client certificates.",
    { choices: [...CLIENT_AUTH, ""] },
  ),
  tlsMinVersion: str(
    "server.tls-min-version",
    "server.tls_min_version",
    "",
    "Minimum TLS version. Empty: 1.2.",
    { choices: ["", "VersionTLS12", "VersionTLS13"] },
  ),
  tlsCiphers: str(
    "server.tls-cipher-suites",
    "server.tls_cipher_suites",
    "",
    "Comma-separated cipher suites for TLS 1.2 and earlier, for example TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256. Empty: the defaults of Node.js.",
  ),
  clientTls: bool(
    "internal-client.tls-enabled",
    "internal_client.tls_enabled",
    false,
    "Use TLS for calls to the other processes of the cluster.",
  ),
  clientTlsCa: str(
    "internal-client.tls-ca-path",
    "internal_client.tls_ca_path",
    "",
    "PEM file with the certificate authorities for the other processes' certificates. Empty: the system's authorities and those of NODE_EXTRA_CA_CERTS.",
  ),
  clientTlsCert: str(
    "internal-client.tls-cert-path",
    "internal_client.tls_cert_path",
    "",
    "PEM file with the client certificate for calls to other processes. Empty: no client certificate.",
  ),
  clientTlsKey: str(
    "internal-client.tls-key-path",
    "internal_client.tls_key_path",
    "",
    "PEM file with the private key of the client certificate.",
  ),
  clientTlsName: str(
    "internal-client.tls-server-name",
    "internal_client.tls_server_name",
    "",
    "Expected host name in the other processes' certificates. Empty: the address of the call.",
  ),
  clientTlsInsecure: bool(
    "internal-client.tls-insecure-skip-verify",
    "internal_client.tls_insecure_skip_verify",
    false,
    "Skip the verification of the other processes' certificates.",
  ),
};

/** Values of the TLS options. */
export type TlsConfig = ConfigOf<typeof tlsSchema>;

/** TLS settings of the port; undefined: cleartext. @throws `invalid` for contradictory settings */
export function serverTlsOf(c: TlsConfig): ServerTls | undefined {
  if ((c.tlsCert === "") !== (c.tlsKey === ""))
    throw new CinderblockError(
      "invalid",
      "-server.http-tls-cert-path and -server.http-tls-key-path must be set together",
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
      "-internal-client.tls-cert-path and -internal-client.tls-key-path must be set together",
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
      "-server.http-tls-cert-path makes this process accept only TLS: set -internal-client.tls-enabled on all processes of the cluster",
    );
  if (client && !server)
    throw new CinderblockError(
      "invalid",
      "-internal-client.tls-enabled requires TLS on all processes, but this one has no certificate: set -server.http-tls-cert-path and -server.http-tls-key-path",
    );
  if (server?.clientAuth.startsWith("Require") && client?.certPath === "")
    throw new CinderblockError(
      "invalid",
      `-server.http-tls-client-auth=${server.clientAuth} would refuse the cluster's own processes: set -internal-client.tls-cert-path and -internal-client.tls-key-path`,
    );
}
