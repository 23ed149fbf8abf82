import { behavesAsBucket } from "./conformance.testing.ts";

describe("the filesystem bucket", () => {
  behavesAsBucket("filesystem");
});
