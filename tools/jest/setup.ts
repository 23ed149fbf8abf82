import { jest } from "@jest/globals";

// Jest does not define the global `jest` in ES modules.
Object.assign(globalThis, { jest });
