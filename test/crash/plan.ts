/**
 * What a child is to ask first, given what earlier ones were promised.
 *
 * Owns: the choice. A child under load looks at all open accounts and at a few of the other promises, so that it comes
 * to its load soon; a child that checks looks at every one of them.
 */
import type { Execution, Ledger } from './ledger.js';
import { accountId, type Call, type Lane, type Op, type Plan } from './operations.js';
import { Random } from './random.js';

const ACCOUNTS = 20;
/** Promises looked at per lane in a child under load. */
const SAMPLE = 4;
const CHECK_LANES = 16;

type Beginning = Pick<Plan, 'folder' | 'seed' | 'life'>;

export function planLoad(beginning: Beginning, ledger: Ledger): Plan {
  const random = new Random(beginning.seed);
  const ops = new Ops();
  const accounts = Array.from({ length: ACCOUNTS }, (_, slot) =>
    accountLane(slot, beginning.life, ledger, random, ops),
  );
  const jobs = runsLane('job', ledger, random, ops);
  const waiters = runsLane('waiter', ledger, random, ops);
  return {
    ...beginning,
    lanes: [...accounts, { ops: jobs, load: { kind: 'jobs' } }, { ops: waiters, load: { kind: 'waiters' } }],
    atEnd: 'wait',
  };
}

/** Everything is asked for, and everything that goes on is brought to its end. */
export function planCheck(beginning: Beginning, ledger: Ledger, atEnd: Plan['atEnd']): Plan {
  const ops = new Ops();
  const lanes: Lane[] = Array.from({ length: CHECK_LANES }, () => ({ ops: [] }));
  for (const [i, execution] of [...ledger.executions.values()].entries()) {
    lanes[i % CHECK_LANES]!.ops.push(...checks(execution, beginning.life, ops));
  }
  return { ...beginning, lanes, atEnd };
}

/** Numbers the planned ops; those of the child's own load have other ids. */
class Ops {
  #last = 0;

  make(to: string, calls: readonly Call[]): Op[] {
    return calls.map((call) => {
      this.#last += 1;
      return { ...call, id: `p${this.#last}`, to };
    });
  }
}

function accountLane(slot: number, life: number, ledger: Ledger, random: Random, ops: Ops): Lane {
  let generation = 1;
  while (ledger.executions.has(accountId(slot, generation + 1))) generation += 1;
  const id = accountId(slot, generation);
  const execution = ledger.executions.get(id);
  const load = { kind: 'account', slot, generation } as const;
  if (execution === undefined) return { ops: [], load: { ...load, sent: 0 } };
  if (execution.started === 'asked')
    return { ops: ops.make(id, [startOf(execution)]), load: { ...load, sent: 1 } };
  if (execution.ending === undefined) {
    const first: Call[] = execution.isStumbling
      ? [{ do: 'settle', n: life }, { do: 'report' }]
      : [{ do: 'report' }];
    const calls = [...first, ...again(execution), ...recalled(execution, random)];
    return { ops: ops.make(id, calls), load: { ...load, sent: 1 + execution.messages.size } };
  }
  const calls: Call[] = [
    ...(execution.ending.acknowledged ? [] : [{ do: 'finish' } as const]),
    { do: 'result' },
    { do: 'report' },
    { do: 'history' },
  ];
  return { ops: ops.make(id, calls), load: { ...load, generation: generation + 1, sent: 0 } };
}

/** What was not acknowledged and can be sent again without fear of a second effect. */
function again({ messages }: Execution): Call[] {
  return [...messages.values()]
    .filter(({ op, state }) => state === 'asked' && (op.do === 'signalOnce' || op.do === 'update'))
    .map(({ op }) => callOf(op));
}

/** Some updates by their ids; and the start and some of what was acknowledged once more, which must have no effect. */
function recalled(execution: Execution, random: Random): Call[] {
  const { messages } = execution;
  const acknowledged = [...messages.values()]
    .filter(({ state }) => state === 'acknowledged')
    .map(({ op }) => op);
  const updates = acknowledged.filter((op) => op.do === 'update');
  const withIds = acknowledged.filter((op) => op.do === 'signalOnce' || op.do === 'update');
  return [
    startOf(execution),
    ...random.sample(updates, SAMPLE).map(({ n }): Call => ({ do: 'recall', n })),
    ...random.sample(withIds, SAMPLE).map(callOf),
  ];
}

function runsLane(type: 'job' | 'waiter', ledger: Ledger, random: Random, ops: Ops): Op[] {
  const runs = [...ledger.executions.values()].filter((execution) => execution.type === type);
  const unsure = runs.filter(({ started }) => started === 'asked');
  const unended = runs.filter(
    ({ ending, outcome }) => ending?.acknowledged === false && outcome === undefined,
  );
  const ended = runs.filter(({ started, outcome }) => started === 'acknowledged' && outcome !== undefined);
  const open = runs.filter(
    ({ started, outcome, ending }) =>
      started === 'acknowledged' && outcome === undefined && (type === 'job' || ending !== undefined),
  );
  return [
    ...unsure.flatMap((run) => ops.make(run.id, [startOf(run)])),
    ...unended.flatMap(({ id, ending }) => ops.make(id, [callOf(ending!.op)])),
    ...[...random.sample(open, SAMPLE), ...random.sample(ended, SAMPLE)].flatMap((run) =>
      ops.make(run.id, [startOf(run), { do: 'result' }, { do: 'history' }]),
    ),
  ];
}

function checks(execution: Execution, life: number, ops: Ops): Op[] {
  const { id, type, started, ending, outcome } = execution;
  const calls: Call[] = started === 'asked' ? [startOf(execution)] : [];
  if (type === 'waiter' && ending === undefined) calls.push({ do: 'cancel' });
  if (ending?.acknowledged === false && outcome === undefined) calls.push(callOf(ending.op));
  if (type === 'account') calls.push(...accountChecks(execution, life));
  else calls.push({ do: 'result' });
  return ops.make(id, [...calls, { do: 'history' }]);
}

function accountChecks(execution: Execution, life: number): Call[] {
  const { messages, ending, quiet } = execution;
  const updates = [...messages.values()].filter(({ op }) => op.do === 'update');
  const calls: Call[] = ending === undefined ? again(execution) : [{ do: 'result' }];
  if (ending === undefined && quiet === undefined) calls.push({ do: 'settle', n: life });
  return [...calls, { do: 'report' }, ...updates.map(({ op }): Call => ({ do: 'recall', n: op.n }))];
}

const startOf = ({ type, n }: Execution): Call => ({ do: 'start', type, n });

function callOf({ id: _id, to: _to, ...call }: Op): Call {
  return call as Call;
}
