import { expect } from 'chai';
import { stackTraceQuery, workflowMetadataQuery } from '../../actors/workflow.js';
import {
  QueryNotRegisteredError,
  QueryRejectedError,
  ServiceError,
  WorkflowNotFoundError,
  type WorkflowOptions,
} from '../../runtime/client/index.js';
import { type Handle, ManualClock, rejection, TestRuntime } from '../support/runtime.js';

/** The text of a query's failure, which must come as QueryNotRegisteredError with INVALID_ARGUMENT. */
async function refusalOf(query: Promise<unknown>): Promise<string> {
  const error = (await rejection(query)) as QueryNotRegisteredError;
  expect(error).to.be.instanceOf(QueryNotRegisteredError);
  expect(error).to.include({ name: 'QueryNotRegisteredError', code: 3 });
  return error.message;
}

// semantics.md 5
describe('workflow queries', () => {
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'queries' });
  });
  after(() => runtime.close());

  async function closed(type = 'answers'): Promise<Handle> {
    const handle = await runtime.start(type);
    if (type === 'answers') await handle.signal('finish');
    await handle.result().catch(() => undefined);
    return handle;
  }

  describe('answers', () => {
    it('arguments: come to the handler as they were, the answer comes back as it was', async () => {
      const handle = await runtime.start('answers');
      const args = [
        1,
        'a',
        { deep: [new Date(5), new Map([['k', 1n]]), new Set([NaN])] },
        undefined,
        Uint8Array.of(1, 2),
      ];
      expect(await handle.query('echo', ...args)).to.deep.equal(args);
    });

    it('answer: is a copy, which the caller may change', async () => {
      const handle = await runtime.start('draws');
      ((await handle.query('drawn')) as unknown[]).push('mine');
      expect(await handle.query('drawn')).to.have.length(1);
    });

    it('default handler: gets name and arguments of queries without a handler', async () => {
      const handle = await runtime.start('answersAny');
      expect(await handle.query('unheardOf', 1, 'a')).to.deep.equal(['unheardOf', 1, 'a']);
      expect(await handle.query('own')).to.equal('own');
    });

    it('default handler that comes late, and goes: answers in between, and gets the signals that waited', async () => {
      const handle = await runtime.start('answersLate');
      const none = /^Workflow did not register a handler for own\. Registered queries: \[.* seen\]$/;
      expect(await refusalOf(handle.query('own'))).to.match(none);
      await handle.signal('waiting');
      await handle.signal('late');
      expect(await handle.query('own')).to.equal('own');
      expect(await handle.query('other')).to.equal('default for other');
      await handle.signal('another');
      expect(await handle.query('seen')).to.deep.equal(['waiting', 'another']);
      await handle.signal('never mind');
      await handle.signal('unheard');
      expect(await refusalOf(handle.query('other'))).to.match(
        /did not register a handler for other\. .* seen own\]$/,
      );
      expect(await handle.query('seen')).to.deep.equal(['waiting', 'another']);
    });

    it('reserved names: are refused without a default handler as those without a handler, with one by name', async () => {
      const [none, some] = [await runtime.start('answers'), await runtime.start('answersAny')];
      expect(await refusalOf(none.query('__temporal_x'))).to.match(
        /^Workflow did not register a handler for/,
      );
      expect(await refusalOf(some.query('__temporal_x'))).to.equal(
        "Cannot use query name: '__temporal_x', with reserved prefix: '__temporal_'",
      );
      expect(await some.query(stackTraceQuery)).to.match(/ {4}at .*queries\.ts:/);
      expect(await some.query(workflowMetadataQuery)).to.have.property('currentDetails', '');
    });

    it('signals sent before the query, unawaited: the answer shows them', async () => {
      const handle = await runtime.start('answers');
      const sent = [handle.signal('count'), handle.signal('count')];
      expect(await handle.query('counted')).to.equal(2);
      sent.push(handle.signal('count'));
      expect(await handle.query('counted')).to.equal(3);
      await Promise.all(sent);
    });

    it('query handler that logs: heard once, and it knows that nothing happens for the first time', async () => {
      const handle = await runtime.start('answers');
      const { runId } = await handle.describe();
      expect(await handle.query('logs', 'asked')).to.deep.equal({
        isReplaying: true,
        isReplayingHistoryEvents: false,
      });
      const lines = runtime.logs.filter(({ message }) => message === 'asked');
      expect(lines).to.deep.equal([
        {
          level: 'INFO',
          message: 'asked',
          attributes: { workflowId: handle.workflowId, runId, workflowType: 'answers', count: 0 },
        },
      ]);
    });

    it('metadata query: names and descriptions of all handlers', async () => {
      const handle = await runtime.start('describesItself');
      expect(await handle.query('__temporal_workflow_metadata')).to.deep.equal({
        definition: {
          type: 'describesItself',
          queryDefinitions: [
            { name: '__stack_trace', description: 'Where the workflow waits, as text' },
            {
              name: '__enhanced_stack_trace',
              description: 'Where the workflow waits, as data that may have the sources with it',
            },
            {
              name: '__temporal_workflow_metadata',
              description: 'Which handlers the workflow has, and its current details',
            },
            { name: 'what', description: 'what it is' },
          ],
          signalDefinitions: [{ name: 'touch', description: 'touches it' }, { name: 'finish' }],
          updateDefinitions: [{ name: 'change', description: 'changes it' }, { name: 'plain' }],
        },
        currentDetails: 'waiting to finish',
      });
    });

    it('query: adds nothing to the history', async () => {
      const handle = await runtime.start('answers');
      const before = await handle.fetchHistory();
      await handle.query('echo', 1);
      await refusalOf(handle.query('throws', 'x'));
      expect(await handle.fetchHistory()).to.deep.equal(before);
    });
  });

  describe('failures', () => {
    it('handler throws an error: QueryNotRegisteredError with its message', async () => {
      const handle = await runtime.start('answers');
      expect(await refusalOf(handle.query('throws', 'that'))).to.equal('cannot say that');
      expect(await refusalOf(handle.query('throws', 'failure'))).to.equal('no answer');
      expect(await refusalOf(handle.query('throws', 'text'))).to.match(
        /^"just text" \[A non-Error value was thrown/,
      );
    });

    it('no handler: the message lists those there are', async () => {
      const handle = await runtime.start('draws');
      expect(await refusalOf(handle.query('unheardOf'))).to.equal(
        'Workflow did not register a handler for unheardOf. Registered queries: ' +
          '[__stack_trace __enhanced_stack_trace __temporal_workflow_metadata drawn drawn in the query]',
      );
    });

    it('handler returns a promise: refused', async () => {
      const handle = await runtime.start('answers');
      expect(await refusalOf(handle.query('async'))).to.equal('Query handlers should not return a Promise');
    });

    it('handler returns a promise that rejects: nobody else is blamed for it', async () => {
      const [handle, neighbour] = [await runtime.start('answers'), await runtime.start('answers')];
      await refusalOf(handle.query('async'));
      await neighbour.signal('count');
      await handle.signal('count');
      expect((await neighbour.describe()).pendingTurn).to.equal(undefined);
      expect((await handle.describe()).pendingTurn).to.equal(undefined);
    });

    it('answer that cannot be stored: refused with the path to what is wrong', async () => {
      const handle = await runtime.start('answers');
      expect(await refusalOf(handle.query('unstorable'))).to.match(/answer of query unstorable\.inside\[0\]/);
    });

    it('failed query: the workflow goes on', async () => {
      const handle = await runtime.start('answers');
      await refusalOf(handle.query('throws', 'x'));
      await handle.signal('count');
      expect(await handle.query('counted')).to.equal(1);
    });

    it('id that was never used: WorkflowNotFoundError', async () => {
      const error = await rejection(runtime.client.getHandle('never-started').query('counted'));
      expect(error).to.be.instanceOf(WorkflowNotFoundError);
      expect(error.message).to.equal('workflow not found for ID: never-started');
    });

    it('workflow whose first turn fails: refused, as there is no state to ask for', async () => {
      const handle = await runtime.start('failsAtOnce');
      const error = await rejection(handle.query('state'));
      expect(error).to.be.instanceOf(ServiceError);
      expect((error.cause as { code: number }).code).to.equal(9);
      expect(error.message).to.match(/a bug at the very beginning/);
    });
  });

  describe('state', () => {
    it('query right after the start, unawaited: waits for the first turn', async () => {
      const workflowId = runtime.newId();
      const started = runtime.client.start('answers', { workflowId, args: [] });
      expect(await runtime.client.getHandle(workflowId).query('counted')).to.equal(0);
      await started;
    });

    it('closed workflow: still answers, also after a reopen', async () => {
      const own = await TestRuntime.open({ workflows: 'queries' });
      const handle = await own.start('answers');
      await handle.signal('count');
      await handle.signal('finish');
      await handle.result();
      expect(await handle.query('counted')).to.equal(1);
      await own.reopen();
      expect(await own.again(handle).query('counted')).to.equal(1);
      await own.close();
    });

    describe('closed workflows', () => {
      const ends: Record<string, (handle: Handle) => Promise<unknown>> = {
        RUNNING: async () => undefined,
        COMPLETED: (handle) => handle.signal('finish'),
        FAILED: (handle) => handle.signal('fail'),
        CANCELLED: (handle) => handle.cancel(),
        TERMINATED: (handle) => handle.terminate(),
        CONTINUED_AS_NEW: (handle) => handle.signal('continue'),
        TIMED_OUT: async (handle) => {
          clock.advance(60_000);
          await handle.result().catch(() => undefined);
        },
      };
      const clock = new ManualClock();
      let own: TestRuntime;
      /** By status, a handle to such a run that has counted one signal. */
      const runs: Record<string, Handle> = {};
      before(async () => {
        own = await TestRuntime.open({ workflows: 'queries', clock });
        for (const [status, end] of Object.entries(ends)) {
          const limit: Partial<WorkflowOptions> =
            status === 'TIMED_OUT' ? { workflowRunTimeout: '1 minute' } : {};
          const { workflowId } = await own.start('answers', [], limit);
          const { runId } = await own.client.getHandle(workflowId).describe();
          const handle = own.client.getHandle(workflowId, runId);
          await handle.signal('count');
          await end(handle);
          expect((await handle.describe()).status.name).to.equal(status);
          runs[status] = handle;
        }
      });
      after(() => own.close());

      // The numbers are Temporal's codes of the statuses.
      const refused = {
        NONE: { TERMINATED: 5 },
        NOT_OPEN: { COMPLETED: 2, FAILED: 3, CANCELLED: 4, TERMINATED: 5, CONTINUED_AS_NEW: 6, TIMED_OUT: 7 },
        NOT_COMPLETED_CLEANLY: { FAILED: 3, CANCELLED: 4, TERMINATED: 5, TIMED_OUT: 7 },
      };
      const conditions = Object.entries(refused) as [keyof typeof refused, Record<string, number>][];
      for (const reopened of [false, true]) {
        for (const [queryRejectCondition, statuses] of conditions) {
          it(`${queryRejectCondition}${reopened ? ', after a reopen' : ''}: answered but for ${Object.keys(statuses).join(', ')}`, async () => {
            if (reopened) await own.reopen();
            const client = own.client.withOptions({ queryRejectCondition });
            for (const status of Object.keys(ends)) {
              const { workflowId, runId } = runs[status]!;
              const call = client.getHandle(workflowId, runId).query('counted');
              if (statuses[status] === undefined) {
                expect(await call, status).to.equal(1);
                continue;
              }
              const error = (await rejection(call)) as QueryRejectedError;
              expect(error).to.be.instanceOf(QueryRejectedError);
              expect(error).to.include({ message: 'Query rejected', status: statuses[status] });
            }
          });
        }
      }

      it('run that continued as new: by its run id it answers what it knew, by the workflow id the next one does', async () => {
        const { workflowId } = runs.CONTINUED_AS_NEW!;
        expect(await own.client.getHandle(workflowId).query('counted')).to.equal(0);
      });

      it('query: adds nothing to the history of a closed workflow either', async () => {
        const handle = own.client.getHandle(runs.COMPLETED!.workflowId);
        const before = await handle.fetchHistory();
        await handle.query('counted');
        expect(await handle.fetchHistory()).to.deep.equal(before);
      });
    });

    it('workflow that fails at its end: still answers', async () => {
      expect(await (await closed('fails')).query('state')).to.equal('about to fail');
    });

    it('Date.now in a query: the time of the last turn', async () => {
      const clock = new ManualClock();
      const own = await TestRuntime.open({ workflows: 'queries', clock });
      const handle = await own.start('answers');
      const began = clock.now();
      clock.advance(1000);
      expect(await handle.query('now')).to.equal(began);
      await handle.signal('count');
      expect(await handle.query('now')).to.equal(began + 1000);
      await own.crash();
      expect(await own.again(handle).query('now')).to.equal(began + 1000);
      await own.close();
    });

    it('random numbers in queries and validators: do not shift the sequence of the workflow', async () => {
      const clock = new ManualClock();
      const own = await TestRuntime.open({ workflows: 'queries', clock });
      const handle = await own.start('draws');
      await handle.query('drawn in the query');
      await rejection(handle.executeUpdate('drawing validator'));
      await handle.signal('draw');
      await handle.query('drawn in the query');
      await handle.signal('draw');
      const drawn = await handle.query('drawn');
      expect(new Set(drawn as unknown[]).size).to.equal(5);
      // Replayed without any query, it comes out the same.
      await own.crash();
      expect(await own.again(handle).query('drawn')).to.deep.equal(drawn);
      await own.close();
    });
  });

  describe('read-only (D6)', () => {
    const attempts = [
      'variable',
      'property',
      'array sort',
      'array push',
      'map set',
      'delete',
      'sleep',
      'setHandler',
    ];
    for (const attempt of attempts) {
      it(`handler that would change state (${attempt}): refused by name, the state is as before`, async () => {
        const handle = await runtime.start('mutates');
        const before = await handle.query('state');
        expect(await refusalOf(handle.query('attempt', attempt))).to.match(/^Query handler 'attempt' /);
        expect(await handle.query('state')).to.deep.equal(before);
        const error = await rejection(handle.executeUpdate('attempt', { args: [attempt] }));
        expect((error.cause as Error).message).to.match(/^Validator of update 'attempt' /);
        expect(await handle.query('state')).to.deep.equal(before);
      });
    }
  });
});
