/**
 * Kills a runtime again and again and looks each time at what it still knows.
 *
 *   plan -> child opens the store -> checks, load ... SIGKILL at a random instant -> plan with what was promised -> ...
 *           (the instant may lie before the store is open, or after the child was told to close it)
 *        ... -> child that checks everything, SIGKILL -> one that does so again, close() -> and once more
 *
 * Owns: the processes, the instants of the kills, the store that all of them share.
 * Does not own: what is asked (plan.ts, child.ts), what must hold (ledger.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Ledger } from './ledger.js';
import type { Line, Op, Plan } from './operations.js';
import { planCheck, planLoad } from './plan.js';
import { Random } from './random.js';

const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));

/** Latest instant of a kill, ms after the runtime was open; and of the late ones, which find it warm and busy. */
const KILL_MS_MAX = 600;
const LATE_KILL_MS_MAX = 2_000;
/** Latest instant of a kill, ms after a runtime under load was told to close. */
const CLOSING_MS_MAX = 200;
/** The kinds of kills, as often as they stand here. */
const KINDS = ['opening', 'soon', 'soon', 'late', 'closing'] as const;
/** A child that opens the store, or checks, and says nothing for so long is stuck. It is no limit on speed. */
const SILENCE_MS_MAX = 90_000;

export interface CrashOptions {
  kills: number;
  seed: number;
  /** For the store and the plans; it must be empty or absent. */
  folder: string;
  /** Called after each kill. */
  progress?: (summary: Summary) => void;
}

export interface Summary {
  kills: number;
  /** Kills before the runtime said that it was open. */
  killsInRecovery: number;
  acknowledged: number;
  executions: number;
  lost: string[];
  duplicated: string[];
  /** Wrong in another way: order, an answer that changed, an unexpected error, a child that died or got stuck. */
  wrong: string[];
}

/** Kills as often as asked for, then checks everything three times. Never rejects because of what it finds. */
export async function crash(options: CrashOptions): Promise<Summary> {
  const run = new Run(options);
  for (let kill = 0; kill < options.kills; kill++) {
    await run.killUnderLoad();
    options.progress?.(run.summary());
  }
  for (const atEnd of ['wait', 'close', 'close'] as const) await run.check(atEnd);
  return run.summary();
}

export const isClean = ({ lost, duplicated, wrong }: Summary): boolean =>
  lost.length + duplicated.length + wrong.length === 0;

class Run {
  readonly #options: CrashOptions;
  readonly #random: Random;
  readonly #ledger = new Ledger();
  #life = 0;
  #kills = 0;
  #killsInRecovery = 0;
  /** How long the last opening took, ms. */
  #openingMs = 100;

  constructor(options: CrashOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    mkdirSync(options.folder, { recursive: true });
  }

  summary(): Summary {
    return {
      kills: this.#kills,
      killsInRecovery: this.#killsInRecovery,
      acknowledged: this.#ledger.acknowledged,
      executions: this.#ledger.executions.size,
      ...this.#ledger.violations,
    };
  }

  async killUnderLoad(): Promise<void> {
    // Drawn whatever comes, so that a seed gives the same instants again.
    const kind = KINDS[this.#random.below(KINDS.length)]!;
    const [instant, later] = [this.#random.next(), this.#random.next()];
    const child = this.#start(planLoad(this.#beginning(), this.#ledger));
    await child.heard('opening', SILENCE_MS_MAX);
    const since = performance.now();
    if (kind !== 'opening') {
      await child.heard('opened', SILENCE_MS_MAX);
      if (!child.hasSaid('opened'))
        this.#ledger.violation('wrong', `process ${this.#life} did not open the store`);
      this.#openingMs = performance.now() - since;
    }
    await child.lives(
      instant *
        { opening: this.#openingMs, soon: KILL_MS_MAX, late: LATE_KILL_MS_MAX, closing: KILL_MS_MAX }[kind],
    );
    if (kind === 'closing') {
      child.tellToClose();
      await child.lives(later * CLOSING_MS_MAX);
    }
    if (!child.hasSaid('opened')) this.#killsInRecovery += 1;
    this.#kills += 1;
    await this.#kill(child);
  }

  async check(atEnd: Plan['atEnd']): Promise<void> {
    const child = this.#start(planCheck(this.#beginning(), this.#ledger, atEnd));
    await child.heard('done', SILENCE_MS_MAX);
    if (!child.hasSaid('done'))
      this.#ledger.violation(
        'wrong',
        `stuck, or dead, without an answer to ${shown(this.#ledger.unanswered)}`,
      );
    if (atEnd === 'wait' || !child.hasSaid('done')) return this.#kill(child);
    if (!(await child.ends(SILENCE_MS_MAX)))
      this.#ledger.violation('wrong', 'after close() the process did not end by itself');
    await this.#kill(child, 0);
  }

  /** A child that ended otherwise than by our kill, or by itself when it was to, ended by a fault. */
  async #kill(child: Child, expected: number | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    const end = await child.kill();
    if (end !== expected)
      this.#ledger.violation('wrong', `process ${this.#life} ended with ${end}: ${child.complaints}`);
  }

  #beginning(): Pick<Plan, 'folder' | 'seed' | 'life'> {
    this.#life += 1;
    return {
      folder: path.join(this.#options.folder, 'store'),
      seed: this.#random.below(2 ** 32),
      life: this.#life,
    };
  }

  #start(plan: Plan): Child {
    const file = path.join(this.#options.folder, 'plan.json');
    writeFileSync(file, JSON.stringify(plan));
    this.#ledger.newLife();
    return new Child(file, (line) => this.#ledger.hear(line));
  }
}

/** A started child.ts. What it says is heard in order, to the last whole line. */
class Child {
  readonly #process: ChildProcess;
  readonly #over: Promise<unknown>;
  readonly #said = new Set<Line['say']>();
  #isOver = false;
  #wake = (): void => undefined;
  complaints = '';

  constructor(planFile: string, hear: (line: Line) => void) {
    this.#process = spawn(process.execPath, ['--enable-source-maps', CHILD, planFile], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    // A child that is killed breaks the pipe.
    this.#process.stdin!.on('error', () => undefined);
    this.#process.stderr!.on('data', (text) => {
      this.complaints = (this.complaints + text).slice(-4_000);
    });
    let torn = '';
    const lines = createInterface({ input: this.#process.stdout! });
    lines.on('line', (text) => {
      const line = parsed(text);
      if (line === undefined) torn = text;
      else {
        if (torn !== '') throw new Error(`The child said ${torn}`);
        this.#said.add(line.say);
        hear(line);
      }
      this.#wake();
    });
    this.#over = Promise.all([once(this.#process, 'close'), once(lines, 'close')]).then(() => {
      this.#isOver = true;
      this.#wake();
    });
  }

  /** The end of its input tells a child under load to close its runtime. */
  tellToClose(): void {
    this.#process.stdin!.end();
  }

  hasSaid(what: Line['say']): boolean {
    return this.#said.has(what);
  }

  /** Until it says so, is gone, or (with a limit) says nothing at all for that long. */
  async heard(what: Line['say'], silenceMsMax: number): Promise<void> {
    while (!this.#said.has(what) && !this.#isOver) {
      if (!(await this.#line(silenceMsMax))) return;
    }
  }

  /** Lets it live for so long; a child that dies before is not waited for. */
  async lives(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (!this.#isOver && performance.now() < until) await this.#line(until - performance.now());
  }

  /** False when it is still there after so long. */
  async ends(ms: number): Promise<boolean> {
    await this.lives(ms);
    return this.#isOver;
  }

  /** Ends it as kill -9 does. Resolves, when all that it said was heard, with its exit code or what ended it. */
  async kill(): Promise<number | NodeJS.Signals | null> {
    this.#process.kill('SIGKILL');
    await this.#over;
    return this.#process.signalCode ?? this.#process.exitCode;
  }

  /** False when nothing was said in that time. */
  #line(msMax: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer =
        msMax === Number.POSITIVE_INFINITY ? undefined : setTimeout(() => resolve(false), Math.max(1, msMax));
      this.#wake = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}

/** A line that the kill tore has no end, and is none. */
function parsed(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
}

function shown(ops: readonly Op[]): string {
  return ops.length === 0
    ? 'nothing'
    : ops
        .slice(0, 20)
        .map((op) => JSON.stringify(op))
        .join(', ');
}
