/**
 * The thread's side of the floors: unpacks, and packs a result of the size that the runtime's would have.
 *
 * Owns: which bytes those are. One journal entry per run and batch with the inputs it got and the commands that the
 * workflows of bench/workflows.ts would give; one answer per query.
 */
import { move } from 'piscina';
import { type Batch, type BatchResult, packResult, type Reply, unpackBatch } from '../../codec/envelope.js';
import {
  type Command,
  FrameWriter,
  frames,
  type Input,
  packEntry,
  type StartInfo,
  unpackEntry,
} from '../../codec/journal-entry.js';
import { encodePayload } from '../../codec/payload.js';

export type PipelineTask =
  | { kind: 'echo' | 'batch'; bytes: Uint8Array }
  /** A history to unpack, frame by frame; answers how many there were. */
  | { kind: 'history'; bytes: Uint8Array };

const RESULT = encodePayload(1_000);
const ARGS = encodePayload([1_000]);
const writer = new FrameWriter();

export default function run(task: PipelineTask): unknown {
  switch (task.kind) {
    case 'echo':
      return move(task.bytes);
    case 'batch':
      return move(packResult(turns(unpackBatch(task.bytes))));
    case 'history':
      return unpackAll(task.bytes);
  }
}

interface Turn {
  info: StartInfo | undefined;
  inputs: Input[];
  commands: Command[];
}

function turns({ no, now, envelopes }: Batch): BatchResult {
  const byRun = new Map<number, Turn>();
  const replies: Reply[] = [];
  const turnOf = (runNo: number): Turn => {
    let turn = byRun.get(runNo);
    if (turn === undefined) {
      turn = { info: undefined, inputs: [], commands: [] };
      byRun.set(runNo, turn);
    }
    return turn;
  };
  for (const [at, envelope] of envelopes.entries()) {
    if (envelope.kind === 'query') replies.push({ at, after: 0, kind: 'answer', result: RESULT });
    if (envelope.kind === 'start') begin(turnOf(envelope.info.runNo), envelope.info);
    if (envelope.kind === 'input') take(turnOf(envelope.runNo), envelope.input);
  }
  for (const [runNo, { info, inputs, commands }] of byRun) {
    if (info !== undefined) writer.add(runNo, packEntry({ kind: 'started', time: now, info }), 1, true);
    writer.add(
      runNo,
      packEntry({ kind: 'turn', time: now, taken: 0, inputs, commands }),
      3,
      commands.length > 0,
    );
  }
  return {
    no,
    journal: writer.take(),
    replies,
    failures: [],
    dropped: [],
    logs: [],
    heapBytes: 0,
    ms: 0,
    times: [],
  };
}

function begin(turn: Turn, info: StartInfo): void {
  turn.info = info;
  turn.commands.push({
    kind: 'scheduleActivity',
    seq: 1,
    activityId: '1',
    activityType: 'echo',
    args: ARGS,
    taskQueue: info.taskQueue,
    startToCloseMs: 60_000,
    cancellationType: 'TRY_CANCEL',
  });
}

function take(turn: Turn, input: Input): void {
  turn.inputs.push(input);
  if (input.kind === 'activityResolved') turn.commands.push({ kind: 'completeWorkflow', result: RESULT });
  if (input.kind !== 'update') return;
  turn.commands.push(
    { kind: 'acceptUpdate', id: input.id },
    { kind: 'completeUpdate', id: input.id, result: RESULT },
  );
}

function unpackAll(history: Uint8Array): number {
  let count = 0;
  for (const { body } of frames(history)) {
    unpackEntry(body);
    count++;
  }
  return count;
}
