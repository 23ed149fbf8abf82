/** The members of the request queue of kafkajs's connections that this class changes. */
export interface RequestQueue {
  /** requests that wait for fewer in-flight requests, or for the end of the broker's throttling */
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
}

/**
 * kafkajs's queue without its timer. From the first response on, kafkajs checks for waiting requests a
 * thousand times a second on every connection, even without waiting requests. A request that has to wait
 * schedules the check itself.
 */
export function timerlessQueue(
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
