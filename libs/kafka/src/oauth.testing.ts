import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const part = (o: object): string => Buffer.from(JSON.stringify(o)).toString("base64url");
/** An unsigned token: the test's broker accepts it; a real broker needs the issuer's keys. */
const token = (seconds = 600): string =>
  `${part({ alg: "none" })}.${part({ sub: "alice", iat: Date.now() / 1000, exp: Date.now() / 1000 + seconds })}.`;

/** Starts an endpoint that issues tokens to one client. */
export async function tokenServer(): Promise<{
  url: string;
  asked: { authorization: string; body: string }[];
  stop(): void;
}> {
  const asked: { authorization: string; body: string }[] = [];
  const server = createServer((req, res) => {
    let body = "";
    req.on("data", (c: Buffer) => {
      body += c.toString();
    });
    req.on("end", () => {
      asked.push({ authorization: req.headers.authorization ?? "", body });
      if (req.headers.authorization !== `Basic ${Buffer.from("cinderblock:s3cr%26t").toString("base64")}`) {
        res.writeHead(401).end();
        return;
      }
      res.setHeader("content-type", "application/json");
      res.end(JSON.stringify({ access_token: token(), token_type: "Bearer", expires_in: 600 }));
    });
  });
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    asked,
    stop: () => {
      server.close();
    },
  };
}
