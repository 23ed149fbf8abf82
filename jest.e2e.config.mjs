import base from "./jest.config.mjs";

// The memory ceiling and the roll to the release before and back take minutes: `npm run test:long` alone runs them.
export default { ...base, testMatch: ["<rootDir>/e2e/**/*.e2e.ts"], testTimeout: process.env.CINDERBLOCK_LONG ? 1_200_000 : 120_000, testPathIgnorePatterns: [...base.testPathIgnorePatterns, ...(process.env.CINDERBLOCK_LONG ? [] : ["/e2e/ceiling", "/e2e/upgrade"])] };
