export { CRASH_POINTS, crashPoint } from "./crash-points.ts";
export type { CrashPoint } from "./crash-points.ts";
export {
  makeDirectorySynced,
  makeDirectorySyncedAsync,
  moveDirectory,
  moveDirectorySync,
  replaceFile,
  replaceFileSync,
  syncDirectory,
  syncDirectoryAsync,
  writeDirectorySynced,
  writeFileSynced,
} from "./durable.ts";
export { isNoSpace, isUnwritable } from "./no-space.ts";
export { Ballast } from "./ballast.ts";
export { DirectoryInUse, type DirectoryLock, lockDirectory } from "./directory-lock.ts";
