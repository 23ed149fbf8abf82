import { rmSync } from "node:fs";
import { Random } from "@cinderblock/testkit";
import { settle, until } from "../wait.ts";
import { checkAnswer, describeViolations, type Violation } from "./checker.ts";
import { Clients } from "./clients.ts";
import { Deployment, type Shape, type Stores } from "./deployment.ts";
import { planFaults } from "./faults.ts";
import { History } from "./history.ts";
import { ask, Asker, defaultReads, type Range, totalOf } from "./questions.ts";

const SHAPES: readonly Shape[] = ["single", "direct", "kafka"];
const FAULTS = 3;
const WINDOWS = 2;
/** Maximum time until answers are complete after the end of all faults, in milliseconds. */
const WHOLE_MS = 20_000;

/** Result of a schedule. */
export interface Outcome {
  readonly seed: number;
  readonly shape: Shape;
  readonly faults: readonly string[];
  /** last step before the final check */
  readonly ending: string;
  readonly sent: number;
  readonly acknowledged: number;
  readonly answers: { readonly whole: number; readonly partial: number; readonly failed: number };
  readonly seconds: number;
  /**
   * seconds until the deployment had started, until the faults had ended, and until the final check was done
   */
  readonly phases: readonly number[];
  /** empty: every acknowledged profile was found exactly once */
  readonly problem: string;
}

/** Last step before the final check: decides whether heads, disks or the bucket answer. */
const ENDINGS = [
  "as it was left",
  "after a flush",
  "after SIGKILL of everything",
  "after SIGTERM of every ingester",
] as const;

/** Command that repeats one schedule. */
export const repeatCommand = (seed: number): string =>
  `CINDERBLOCK_SEED=${seed} npm run test:integration -- e2e/history`;

/** The shape of a seed's deployment: every third seed has the same shape. */
export const shapeOf = (seed: number): Shape => SHAPES[seed % SHAPES.length]!;

/** Position of a seed among the seeds of its shape; seeds start at 1. */
const turnOf = (seed: number): number => Math.floor((seed - 1) / SHAPES.length);

/**
 * Runs the schedule of a seed: clients push and query during faults; a final check finds every acknowledged
 * profile.
 */
export async function runSchedule(seed: number, stores: Stores): Promise<Outcome> {
  const started = Date.now(),
    random = new Random(seed),
    shape = shapeOf(seed);
  const deployment = new Deployment(shape, `history-${seed}`, stores, {
    workers: 1 + random.below(2),
    partitions: 2 + random.below(2),
    resultsCache: random.below(2) === 0,
    deletesBlocks: random.below(2) === 0,
  });
  let clients: Clients | undefined;
  const pause = (paused: boolean): void => {
    if (clients) clients.paused = paused;
  };
  const history = new History(),
    moved = (): unknown => history.moves++;
  const faults = planFaults({ deployment, stores, random, pause, moved }, turnOf(seed), FAULTS),
    pauses = faults.map(() => 200 + random.below(500)),
    ending = ENDINGS[random.below(ENDINGS.length)]!;
  const startMs = Math.floor(started / 3600_000) * 3600_000 - 1800_000,
    range: Range = { startMs: startMs - WINDOWS * 3600_000, endMs: startMs + 1_800_000 };
  let asker: Asker | undefined,
    problem = "";
  const phases: number[] = [],
    phase = (): unknown => phases.push((Date.now() - started) / 1000);
  try {
    await deployment.start();
    phase();
    clients = new Clients(deployment.distributors, history, {
      seed,
      cpu: 4,
      heap: 2,
      startMs,
      windows: WINDOWS,
      pauseMs: 100,
    });
    asker = new Asker(deployment.frontends, history, {
      range,
      pauseMs: 300,
      defaults: defaultReads(shape === "kafka"),
    });
    try {
      await until("pushes are acknowledged", () => Promise.resolve(history.acknowledged > 5));
      for (const [i, f] of faults.entries()) {
        await history.fault(f.name, f.happen);
        await settle(pauses[i]!);
      }
      stores.proxy.decide = () => undefined;
      await deployment.heal();
    } finally {
      stores.proxy.decide = () => undefined;
      await Promise.all([clients.stop(), asker.stop()]);
    }
    phase();
    await finish(deployment, history, ending);
    const last = await account(deployment, history, range);
    problem = describeViolations(history, [...asker.violations, ...last.violations]) + last.problem;
    phase();
  } catch (err) {
    problem = `${(err as Error).stack ?? String(err)}\n${describeViolations(history, asker?.violations ?? [])}`;
  }
  if (problem !== "") problem += `\nwarnings and errors of the processes:\n${deployment.complaints()}`;
  await deployment.cluster.stop();
  if (problem === "") rmSync(deployment.cluster.dir, { recursive: true, force: true });
  return {
    seed,
    shape,
    faults: history.faults.map((f) => f.name),
    ending,
    sent: history.pushes.size,
    acknowledged: history.acknowledged,
    answers: { whole: asker?.whole ?? 0, partial: asker?.partial ?? 0, failed: asker?.failed ?? 0 },
    seconds: (Date.now() - started) / 1000,
    phases,
    problem,
  };
}

/** Moves the data to the place that the last answers must read. */
async function finish(deployment: Deployment, history: History, ending: Outcome["ending"]): Promise<void> {
  const holders = Array.from({ length: deployment.holders }, (_, i) => i);
  history.note(ending);
  if (ending === ENDINGS[1]) await until("every ingester flushes", () => deployment.flush());
  if (ending === ENDINGS[2])
    await Promise.all([...deployment.cluster.members.values()].map((server) => server.stop("SIGKILL")));
  if (ending === ENDINGS[3])
    for (const i of holders) await deployment.restart(deployment.holder, i, "SIGTERM");
  await deployment.heal();
}

/** Checks by both read paths that a complete answer has every acknowledged profile once. */
export async function account(
  deployment: Deployment,
  history: History,
  range: Range,
): Promise<{ violations: Violation[]; problem: string }> {
  const violations: Violation[] = [];
  let problem = "";
  for (const frontend of deployment.frontends())
    for (const kind of ["cpu", "heap"] as const) {
      let last = "";
      await until(
        "a whole answer",
        async () => {
          const a = await ask(frontend, kind, true, range);
          last = `${a.status}, partial "${a.partial}"`;
          if (a.status !== 200 || a.partial !== "") return false;
          const found = checkAnswer(history, a);
          violations.push(...found);
          const sum = [...a.values.values()].reduce((n, v) => n + v, 0),
            total = await totalOf(frontend, kind, range);
          if (sum !== total && found.length === 0)
            problem += `${kind}: the stacks of an answer add up to ${sum}, the series to ${total}\n`;
          return true;
        },
        WHOLE_MS,
      ).catch((err: unknown) => {
        throw new Error(`${kind}: ${(err as Error).message}; the last answer was ${last}`);
      });
    }
  return { violations, problem };
}
