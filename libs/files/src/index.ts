export {
  makeDirectorySynced,
  makeDirectorySyncedAsync,
  moveDirectorySync,
  replaceFile,
  replaceFileSync,
  syncDirectory,
  writeFileSynced,
} from "./durable.ts";
export { isNoSpace } from "./no-space.ts";
export { DirectoryInUse, type DirectoryLock, lockDirectory } from "./directory-lock.ts";
