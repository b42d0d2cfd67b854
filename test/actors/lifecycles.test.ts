import { expect } from 'chai';
import { type AnyEventObject, type AnyMachineSnapshot, type AnyStateMachine, setup } from 'xstate';
import { type AdjacencyValue, getAdjacencyMap, getShortestPaths } from 'xstate/graph';
import { activityMachine, activityTable } from '../../actors/lifecycles/activity.js';
import { childMachine, childTable } from '../../actors/lifecycles/child.js';
import { executionMachine, executionTable } from '../../actors/lifecycles/execution.js';
import {
  can,
  deriveTable,
  IllegalTransitionError,
  isFinal,
  next,
  type Table,
} from '../../actors/lifecycles/table.js';
import { timerMachine, timerTable } from '../../actors/lifecycles/timer.js';
import { updateMachine, updateTable } from '../../actors/lifecycles/update.js';

type AnyTable = Table<string, string>;

const CHARTS: readonly [string, AnyStateMachine, AnyTable, { finals: string[] }][] = [
  [
    'execution',
    executionMachine,
    executionTable,
    { finals: ['completed', 'failed', 'cancelled', 'continuedAsNew', 'terminated', 'timedOut'] },
  ],
  ['update', updateMachine, updateTable, { finals: ['completed', 'rejected', 'failed', 'aborted'] }],
  ['activity', activityMachine, activityTable, { finals: ['completed', 'failed', 'timedOut', 'cancelled'] }],
  ['timer', timerMachine, timerTable, { finals: ['fired', 'cancelled'] }],
  [
    'child',
    childMachine,
    childTable,
    { finals: ['startFailed', 'completed', 'failed', 'cancelled', 'terminated', 'timedOut'] },
  ],
];

/** All arrows that xstate/graph finds by itself, as 'state event target'. It lists an ignored event as a loop. */
function arrowsOfGraph(machine: AnyStateMachine): string[] {
  const events = machine.events.map((type) => ({ type }));
  const nodes: AdjacencyValue<AnyMachineSnapshot, AnyEventObject>[] = Object.values(
    getAdjacencyMap(machine, { events }),
  );
  return nodes.flatMap(({ state, transitions }) =>
    Object.values(transitions)
      .filter(({ event }) => state.can(event))
      .map(({ event, state: target }) => `${state.value} ${event.type} ${target.value}`),
  );
}

function arrowsOfTable(table: AnyTable): string[] {
  return table.states.flatMap((state) =>
    Object.entries(table.arrows[state]!).map(([event, target]) => `${state} ${event} ${target}`),
  );
}

describe('lifecycles', () => {
  for (const [name, machine, table, { finals }] of CHARTS) {
    it(`${name}: derived table -> exactly the arrows that xstate/graph walks`, () => {
      expect(arrowsOfTable(table).sort()).to.deep.equal(arrowsOfGraph(machine).sort());
    });

    it(`${name}: shortest path to each state, followed in the table -> the same state`, () => {
      const paths = getShortestPaths(machine, { events: machine.events.map((type) => ({ type })) });
      const reached = paths.map(({ state, steps }) => {
        const events = steps.map(({ event }) => event.type).filter((type) => type !== 'xstate.init');
        expect(events.reduce((at, event) => next(table, at, event), table.initial)).to.equal(state.value);
        return state.value;
      });
      expect(reached).to.have.members([...table.states]);
    });

    it(`${name}: every arrow that is not in the chart -> throws and names machine, state and event`, () => {
      let illegal = 0;
      for (const state of table.states) {
        for (const event of [...table.events, 'noSuchEvent', 'constructor', '__proto__']) {
          if (can(table, state, event)) continue;
          illegal++;
          expect(() => next(table, state, event))
            .to.throw(
              IllegalTransitionError,
              `Illegal transition of ${name}: event '${event}' in state '${state}'`,
            )
            .that.includes({ machine: name, state, event });
        }
      }
      expect(illegal).to.equal(table.states.length * (table.events.length + 3) - arrowsOfTable(table).length);
    });

    it(`${name}: final states -> those without an arrow, and only those`, () => {
      expect(table.finals).to.have.members(finals);
      for (const state of table.states) {
        expect(isFinal(table, state)).to.equal(Object.keys(table.arrows[state]!).length === 0);
      }
    });

    it(`${name}: a state that is not in the chart -> throws`, () => {
      expect(() => next(table, 'toString', table.events[0]!)).to.throw(
        IllegalTransitionError,
        "in state 'toString'",
      );
    });

    it(`${name}: table -> frozen through and through`, () => {
      for (const part of [
        table,
        table.states,
        table.events,
        table.finals,
        table.arrows,
        ...Object.values(table.arrows),
      ]) {
        expect(part).to.be.frozen;
      }
    });
  }

  it('execution: turn fails, is tried again, completes -> completed', () => {
    const events = ['turnFailed', 'retryTurn', 'turnFailed', 'retryTurn', 'completeWorkflow'] as const;
    expect(
      events.reduce((state, event) => next(executionTable, state, event), executionTable.initial),
    ).to.equal('completed');
  });

  it('execution: suspended -> can be closed from outside, cannot close by itself', () => {
    expect(next(executionTable, 'suspended', 'terminated')).to.equal('terminated');
    expect(next(executionTable, 'suspended', 'timedOut')).to.equal('timedOut');
    expect(can(executionTable, 'suspended', 'completeWorkflow')).to.equal(false);
  });

  it('update: run continues as new -> not accepted goes along, accepted is aborted', () => {
    expect(next(updateTable, 'admitted', 'runContinued')).to.equal('admitted');
    expect(next(updateTable, 'accepted', 'runContinued')).to.equal('aborted');
  });

  it('activity: cancel requested -> at once where no attempt runs, a request where one does, and no retry after it', () => {
    expect(next(activityTable, 'scheduled', 'cancelActivity')).to.equal('cancelled');
    expect(next(activityTable, 'backingOff', 'cancelActivity')).to.equal('cancelled');
    expect(next(activityTable, 'started', 'cancelActivity')).to.equal('cancelRequested');
    expect(next(activityTable, 'cancelRequested', 'completed')).to.equal('completed');
    expect(can(activityTable, 'cancelRequested', 'activityRetry')).to.equal(false);
  });

  it('child: closes before it started -> throws', () => {
    expect(() => next(childTable, 'initiated', 'completed')).to.throw(IllegalTransitionError);
  });

  it('table: state that nothing reaches -> the chart is refused', () => {
    const stray = setup({ types: { events: {} as { type: 'go' } } }).createMachine({
      id: 'stray',
      initial: 'a',
      states: { a: { on: { go: 'b' } }, b: {}, c: {} },
    });
    expect(() => deriveTable(stray)).to.throw("Nothing reaches state 'c' of stray");
  });

  it('table: nested states -> the chart is refused', () => {
    const nested = setup({ types: { events: {} as { type: 'go' } } }).createMachine({
      id: 'nested',
      initial: 'a',
      states: { a: { initial: 'b', states: { b: {} } } },
    });
    expect(() => deriveTable(nested)).to.throw('The chart nested is not flat');
  });
});
