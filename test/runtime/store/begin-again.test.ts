import { expect } from 'chai';
import { beginAgain } from '../../../runtime/store/begin-again.js';
import { rejection } from '../../support/store-rows.js';

const failure = (code: number | string | undefined) => Object.assign(new Error(`code ${code}`), { code });

describe('transactions that are begun again', () => {
  /** Fails as often as there are errors, then succeeds. Errors come as lmdb-js has them: behind another one. */
  const attempts = (errors: Error[]) => {
    let count = 0;
    let small = 0;
    const transaction = async () => {
      count += 1;
      const error = errors.shift();
      if (error !== undefined) throw Object.assign(new Error('Commit failed'), { behind: error });
    };
    const reasonOf = async (error: unknown) => (error as { behind: Error }).behind;
    const between = async () => {
      small += 1;
      throw Object.assign(new Error('Commit failed'), { behind: failure(-30_781) });
    };
    const run = () => beginAgain({ transaction, small: between, reasonOf });
    return { run, count: () => count, small: () => small };
  };

  it('store: LMDB lost its way in its list of free pages -> the transaction is made again, after a small one that may fail too', async () => {
    const { run, count, small } = attempts([failure(-30_781), failure(-30_798)]);
    await run();
    expect([count(), small()]).to.deep.equal([3, 2]);
  });

  it('store: it loses its way every time -> given up after five attempts', async () => {
    const { run, count } = attempts(Array.from({ length: 9 }, () => failure(-30_781)));
    expect((await rejection(run())).message).to.equal('Commit failed');
    expect(count()).to.equal(5);
  });

  it('store: any other failure -> not made again', async () => {
    for (const code of [28, 5, -30_792, 'ENOSPC', undefined]) {
      const { run, count } = attempts([failure(code)]);
      await rejection(run());
      expect(count()).to.equal(1);
    }
  });
});
