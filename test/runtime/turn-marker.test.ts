import { expect } from 'chai';
import { MARKER_BYTES, TurnMarker } from '../../runtime/turn-marker.js';

describe('turn marker', () => {
  const pair = (): [TurnMarker, TurnMarker] => {
    const buffer = new SharedArrayBuffer(MARKER_BYTES);
    return [new TurnMarker(buffer), new TurnMarker(buffer)];
  };

  it('unused: idle', () => {
    const [, host] = pair();
    expect(host.read()).to.deep.equal({ count: 0, mode: 'idle', runNo: 0 });
  });

  for (const mode of ['turn', 'query', 'replay'] as const) {
    it(`${mode}: the host reads what the thread does and for which run, however large its number`, () => {
      const [thread, host] = pair();
      for (const runNo of [1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
        thread[mode](runNo);
        expect(host.read()).to.include({ mode, runNo });
      }
      thread.idle();
      expect(host.read()).to.include({ mode: 'idle' });
    });
  }

  it('the same run again: counts as another turn, so that a long row of short ones is not taken for one', () => {
    const [thread, host] = pair();
    thread.turn(5);
    const { count } = host.read();
    thread.turn(5);
    expect(host.read().count).to.equal(count + 1);
  });
});
