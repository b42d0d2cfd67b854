import { expect } from 'chai';
import { HeartbeatNotes } from '../../runtime/activities/heartbeats.js';
import { ManualClock } from '../support/runtime.js';

const details = (n: number) => Uint8Array.of(n);

function rig(timeoutMs?: number) {
  const clock = new ManualClock();
  const noted: number[] = [];
  const under: ((failed: boolean) => void)[] = [];
  const notes = new HeartbeatNotes(clock, timeoutMs, (heartbeat, done) => {
    noted.push(heartbeat[0]!);
    under.push(done);
  });
  const settle = (failed = false) => under.shift()!(failed);
  return { clock, noted, under, notes, settle };
}

describe('heartbeat notes', () => {
  for (const [timeoutMs, intervalMs] of [
    [undefined, 30_000],
    [1000, 800],
    [10_000, 8000],
    [70_000, 56_000],
    [3_600_000, 60_000],
  ] as const) {
    it(`heartbeat timeout of ${timeoutMs} ms: the first is noted at once, the newest every ${intervalMs} ms`, () => {
      const { clock, noted, notes, settle } = rig(timeoutMs);
      notes.add(details(1));
      expect(noted).to.deep.equal([1]);
      settle();
      notes.add(details(2));
      notes.add(details(3));
      clock.advance(intervalMs - 1);
      expect(noted).to.deep.equal([1]);
      clock.advance(1);
      expect(noted).to.deep.equal([1, 3]);
      settle();
      clock.advance(intervalMs - 1);
      notes.add(details(4));
      expect(noted).to.deep.equal([1, 3]);
      clock.advance(1);
      expect(noted).to.deep.equal([1, 3, 4]);
    });
  }

  it('nothing for longer than the interval: the next is noted at once', () => {
    const { clock, noted, notes, settle } = rig(1000);
    notes.add(details(1));
    settle();
    clock.advance(5000);
    expect(clock.pending).to.deep.equal([]);
    notes.add(details(2));
    expect(noted).to.deep.equal([1, 2]);
  });

  it('a disk that takes longer than the interval: one note is under way, the newest goes when it is done', () => {
    const { clock, noted, notes, settle } = rig(1000);
    for (let n = 1; n <= 100; n++) {
      notes.add(details(n));
      clock.advance(500);
    }
    expect(noted).to.deep.equal([1]);
    settle();
    expect(noted).to.deep.equal([1, 100]);
  });

  it('a note that failed: again after the interval, with what came since if anything did', () => {
    const { clock, noted, notes, settle } = rig(1000);
    notes.add(details(1));
    settle(true);
    expect(noted).to.deep.equal([1]);
    clock.advance(800);
    expect(noted).to.deep.equal([1, 1]);
    notes.add(details(2));
    settle(true);
    clock.advance(800);
    expect(noted).to.deep.equal([1, 1, 2]);
  });

  it('flush: what waits is noted at once, and nothing afterwards', () => {
    const { clock, noted, under, notes, settle } = rig(1000);
    notes.add(details(1));
    notes.add(details(2));
    notes.flush();
    expect(noted).to.deep.equal([1, 2]);
    expect(clock.pending).to.deep.equal([]);
    while (under.length > 0) settle(true);
    notes.flush();
    expect(noted).to.deep.equal([1, 2]);
  });

  it('stop: what waits is forgotten', () => {
    const { clock, noted, notes, settle } = rig(1000);
    notes.add(details(1));
    notes.add(details(2));
    notes.stop();
    settle();
    clock.advance(10_000);
    notes.flush();
    expect(noted).to.deep.equal([1]);
    expect(clock.pending).to.deep.equal([]);
  });
});
