import base from "./jest.config.mjs";

// The memory ceiling takes minutes: `npm run test:long` alone runs it.
export default { ...base, testMatch: ["<rootDir>/e2e/**/*.e2e.ts"], testTimeout: process.env.CINDERBLOCK_LONG ? 1_200_000 : 120_000, testPathIgnorePatterns: [...base.testPathIgnorePatterns, ...(process.env.CINDERBLOCK_LONG ? [] : ["/e2e/ceiling"])] };
