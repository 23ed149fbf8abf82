export {
  CONTEXT_ID,
  ID_WORDS,
  readRecording,
  SPAN_ID,
  SPAN_NAME,
  TRACE_HIGH,
  TRACE_LOW,
} from "./recording.ts";
export type { JfrEvent, JfrEventKind, JfrStacks, JfrVisitor } from "./recording.ts";
