import base from "./jest.config.mjs";

export default { ...base, testMatch: ["<rootDir>/e2e/**/*.e2e.ts"], testTimeout: 120_000 };
