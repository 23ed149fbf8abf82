/** Calls a worker, which starts with the first call; IDs match answers to calls. */
export class WorkerCalls<Job extends { id: number }, Done extends { id: number }> {
  private worker: Worker | undefined;
  private nextId = 1;
  private readonly waiting = new Map<number, (d: Done) => void>();
  private readonly start: () => Worker;
  constructor(start: () => Worker) {
    this.start = start;
  }

  /** @param answered called once with the answer; @returns ID of the call */
  ask(job: Omit<Job, "id">, answered: (d: Done) => void): number {
    if (!this.worker) {
      this.worker = this.start();
      this.worker.onmessage = (e: MessageEvent<Done>) => {
        this.waiting.get(e.data.id)?.(e.data);
        this.waiting.delete(e.data.id);
      };
    }
    const id = this.nextId++;
    this.waiting.set(id, answered);
    this.worker.postMessage({ ...job, id });
    return id;
  }
}
