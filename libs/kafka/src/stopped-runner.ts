/** The members of kafkajs's consumer loop that `endStoppedLoops` uses. */
export interface KafkajsRunner {
  readonly running: boolean;
  readonly fetchManager: { stop(): Promise<void> };
  fetch(nodeId: number): Promise<unknown[]>;
}

/**
 * Makes the loops of a stopped consumer end. When the set of brokers changes, kafkajs replaces its loops, one
 * per broker; a consumer that is stopped at that moment stops the old loops only. The new loops then fetch
 * nothing, and repeat that without a turn of the event loop: the process freezes for good.
 */
export function endStoppedLoops(Class: { prototype: KafkajsRunner }): void {
  const { fetch } = Class.prototype;
  Class.prototype.fetch = function (nodeId) {
    if (this.running) return fetch.call(this, nodeId);
    // The loop that calls this is one of the loops to end: it ends after its current fetch.
    void this.fetchManager.stop();
    return Promise.resolve([]);
  };
}
