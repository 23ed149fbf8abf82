import { describeWith, needs } from "@cinderblock/testkit";
import { behavesAsBucket } from "./conformance.testing.ts";
import { REMOTE } from "./stores.testing.ts";

const PART_OF = { s3: needs("s3"), gcs: needs("gcs"), azure: needs("azure"), swift: needs("swift") };

for (const store of REMOTE)
  describeWith(PART_OF[store], `the ${store} bucket`, () => {
    behavesAsBucket(store);
  });
