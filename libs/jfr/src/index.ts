export { readRecording } from "./recording.ts";
export type { JfrEvent, JfrEventKind, JfrStacks, JfrVisitor } from "./recording.ts";
