import { jest } from "@jest/globals";

// In ES modules Jest leaves `jest` out of the globals.
Object.assign(globalThis, { jest });
