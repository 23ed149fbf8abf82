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
export { isNoSpace } from "./no-space.ts";
export { DirectoryInUse, type DirectoryLock, lockDirectory } from "./directory-lock.ts";
