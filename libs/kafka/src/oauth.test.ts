import { tokenProvider } from "./index.ts";
import { tokenServer } from "./oauth.testing.ts";

it("a token is renewed before it expires", async () => {
  const endpoint = await tokenServer();
  let now = 0;
  const give = tokenProvider(
    { tokenEndpoint: endpoint.url, clientId: "cinderblock", clientSecret: "s3cr&t", scope: "" },
    () => now,
  );
  await give();
  now = 569_000;
  await give();
  expect(endpoint.asked).toHaveLength(1);
  now = 571_000;
  await give();
  expect(endpoint.asked).toHaveLength(2);
  endpoint.stop();
});
