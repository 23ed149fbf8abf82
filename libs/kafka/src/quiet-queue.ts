/** What kafkajs's queue of a connection's requests has, as far as this changes it. */
export interface RequestQueue {
  /** wait until fewer are in flight, or until the broker's throttling is over */
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
}

/**
 * kafkajs's queue, without its clock: from the first answer on it looks for waiting requests a thousand times a second, on
 * every connection, also while none waits. Whoever has to wait schedules the look itself.
 */
export function quietQueue(
  Base: new (options: object) => RequestQueue,
): new (
  options: object,
) => RequestQueue {
  return class QuietQueue extends Base {
    override scheduleCheckPendingRequests(): void {
      if (this.pending.length > 0) super.scheduleCheckPendingRequests();
    }
  };
}
