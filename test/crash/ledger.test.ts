/** The ledger itself: a check that finds nothing must be known to find what is there. */
import { expect } from 'chai';
import { Ledger, type Violation } from './ledger.js';
import type { Call, Report } from './operations.js';

const ACCOUNT = 'account-0-1';

/** A ledger that has heard of an account, and short ways to tell it more. */
class Story {
  readonly ledger = new Ledger();
  #ops = 0;

  constructor() {
    this.answered({ do: 'start', type: 'account', n: 1 }, 'started');
  }

  asked(call: Call): string {
    this.#ops += 1;
    const id = `op${this.#ops}`;
    this.ledger.hear({ say: 'ask', op: { ...call, id, to: ACCOUNT } });
    return id;
  }

  answered(call: Call, value: unknown = null): void {
    this.ledger.hear({ say: 'answer', id: this.asked(call), value });
  }

  refused(call: Call, error: string): void {
    this.ledger.hear({ say: 'refusal', id: this.asked(call), error, message: 'no' });
  }

  shows(report: Partial<Report>): void {
    const empty: Report = { signals: [], once: [], asked: [], fired: [], begun: [], finished: [], chain: [] };
    this.answered({ do: 'report' }, { ...empty, ...report });
  }

  finds(counts: Partial<Record<Violation, number>>): void {
    const { lost, duplicated, wrong } = this.ledger.violations;
    expect(
      { lost: lost.length, duplicated: duplicated.length, wrong: wrong.length },
      [lost, duplicated, wrong].flat().join('; '),
    ).to.deep.equal({
      lost: 0,
      duplicated: 0,
      wrong: 0,
      ...counts,
    });
  }
}

describe('the ledger of the crash tests', () => {
  let story: Story;
  const signal = (n: number): Call => ({ do: 'signal', n });
  const update = (n: number, stage: 'ACCEPTED' | 'COMPLETED' = 'COMPLETED'): Call => ({
    do: 'update',
    name: 'fetch',
    n,
    ms: 1,
    stage,
  });

  beforeEach(() => {
    story = new Story();
  });

  it('ledger: all that was acknowledged is there once -> finds nothing', () => {
    for (const n of [1, 2]) story.answered(signal(n));
    story.answered({ do: 'signalOnce', n: 3 }, 1);
    story.answered(update(4), 'result');
    story.answered({ do: 'remind', n: 5, ms: 1 });
    story.shows({ signals: [1, 2], once: [3], begun: [4], finished: [4], asked: [5] });
    story.finds({});
  });

  it('ledger: asked for and not acknowledged -> may be there or not', () => {
    story.asked(signal(1));
    story.asked(update(2));
    story.shows({});
    story.shows({ signals: [1], begun: [2] });
    story.finds({});
  });

  it('ledger: an acknowledged message is not there -> lost', () => {
    story.answered(signal(1));
    story.answered({ do: 'signalOnce', n: 2 }, 1);
    story.answered(update(3, 'ACCEPTED'));
    story.answered({ do: 'remind', n: 4, ms: 1 });
    story.shows({});
    story.finds({ lost: 4 });
  });

  it('ledger: the same loss is seen again -> counted once', () => {
    story.answered(signal(1));
    story.shows({});
    story.shows({});
    story.finds({ lost: 1 });
  });

  it('ledger: a timer that never fires, an accepted update that never ends -> lost once nothing goes on', () => {
    story.answered({ do: 'remind', n: 1, ms: 1 });
    story.answered(update(2, 'ACCEPTED'));
    story.shows({ asked: [1], begun: [2] });
    story.finds({});
    story.answered({ do: 'settle', n: 1 });
    story.shows({ asked: [1], begun: [2] });
    story.finds({ lost: 2 });
  });

  it('ledger: a message took effect twice -> duplicated', () => {
    story.answered(signal(1));
    story.answered(update(2), 'result');
    story.shows({ signals: [1, 1], begun: [2, 2], finished: [2, 2] });
    story.finds({ duplicated: 3 });
  });

  it('ledger: two sendings with one request id both took effect -> duplicated', () => {
    story.answered({ do: 'signalOnce', n: 1 }, 2);
    story.finds({ duplicated: 1 });
    story.answered({ do: 'signalOnce', n: 1 }, 1);
    story.finds({ duplicated: 2 });
  });

  it('ledger: an execution is started under an id that is taken -> duplicated', () => {
    story.answered({ do: 'start', type: 'account', n: 1 }, 'already');
    story.finds({});
    story.answered({ do: 'start', type: 'account', n: 1 }, 'started');
    story.finds({ duplicated: 1 });
  });

  it('ledger: an update answers otherwise than before -> wrong', () => {
    story.answered(update(1), { at: 1 });
    story.answered({ do: 'recall', n: 1 }, { at: 1 });
    story.finds({});
    story.answered({ do: 'recall', n: 1 }, { at: 2 });
    story.finds({ wrong: 1 });
  });

  it('ledger: an acknowledged update is not known any more -> lost', () => {
    story.answered(update(1), 'result');
    story.refused({ do: 'recall', n: 1 }, 'WorkflowNotFoundError');
    story.finds({ lost: 1 });
  });

  it('ledger: signals out of order, or one left out -> wrong', () => {
    for (const n of [1, 2, 3]) story.asked(signal(n));
    story.shows({ signals: [2, 1] });
    story.finds({ wrong: 1 });
    story.shows({ signals: [1, 3] });
    story.finds({ wrong: 2 });
  });

  it('ledger: something is there that nobody sent -> wrong', () => {
    story.shows({ signals: [7] });
    story.finds({ wrong: 1 });
  });

  it('ledger: a query answered with a state that was not kept -> wrong', () => {
    story.answered({ do: 'position' }, { steps: 2, last: 22 });
    story.shows({ chain: [11, 22, 33] });
    story.finds({});
    story.shows({ chain: [11, 22, 34] });
    story.finds({ wrong: 1 });
    story.answered({ do: 'position' }, { steps: 4, last: 44 });
    story.shows({ chain: [11, 22, 34] });
    story.finds({ wrong: 2 });
  });

  it('ledger: a history changes although nothing went on -> wrong', () => {
    story.answered({ do: 'settle', n: 1 });
    for (const hash of ['a', 'a', 'b']) story.answered({ do: 'history' }, hash);
    story.finds({ wrong: 1 });
  });

  it('ledger: a history changes because something was sent -> finds nothing', () => {
    story.answered({ do: 'settle', n: 1 });
    story.answered({ do: 'history' }, 'a');
    story.answered(signal(1));
    story.answered({ do: 'history' }, 'b');
    story.finds({});
  });

  it('ledger: an attempt of a charge begins twice -> duplicated; more attempts than are allowed -> wrong', () => {
    const charged = (n: number, attempt: number) => story.ledger.hear({ say: 'charged', n, attempt });
    charged(1, 1);
    charged(2, 1);
    charged(2, 2);
    story.finds({});
    charged(1, 1);
    story.finds({ duplicated: 1 });
    charged(1, 2);
    charged(2, 3);
    story.finds({ duplicated: 1, wrong: 2 });
  });

  it('ledger: a job was charged by an attempt that never began -> wrong', () => {
    const job = (n: number, charged: unknown) => {
      const op = { id: `job${n}`, to: `job-${n}` };
      story.ledger.hear({ say: 'ask', op: { ...op, do: 'start', type: 'job', n } });
      story.ledger.hear({ say: 'ask', op: { ...op, do: 'result' } });
      story.ledger.hear({ say: 'answer', id: op.id, value: { value: { n, doubled: 2 * n, charged } } });
    };
    story.ledger.hear({ say: 'charged', n: 2, attempt: 2 });
    job(2, 2);
    job(3, 'TimeoutFailure');
    story.finds({});
    job(4, 1);
    story.finds({ wrong: 1 });
  });

  it('ledger: an unexpected refusal, or an error of the runtime -> wrong', () => {
    story.refused(signal(1), 'DeterminismViolationError');
    story.ledger.hear({ say: 'trouble', text: 'broken' });
    story.finds({ wrong: 2 });
  });
});
