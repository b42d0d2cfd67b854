/** Distributions keep what a chart and a reader of the JSON need: how many calls, and quantiles within 2.2 % of the true ones. */
import { expect } from 'chai';
import fc from 'fast-check';
import { callsIn, distributionOf, merged, quantile } from '../../bench/distribution.js';

const someLatencies = fc.array(fc.double({ min: 0.001, max: 60_000, noNaN: true }), {
  minLength: 1,
  maxLength: 300,
});

describe('distribution', () => {
  it('quantile: of any latencies -> not below the true one, and at most 2.3 % above it', () => {
    fc.assert(
      fc.property(someLatencies, fc.double({ min: 0, max: 1, noNaN: true }), (latencies, share) => {
        const sorted = [...latencies].sort((a, b) => a - b);
        const exact = sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)]!;
        const told = quantile(distributionOf(latencies), share);
        expect(told).to.be.within(exact * 0.999, exact * 1.023);
      }),
    );
  });

  it('merged: two distributions -> the one of all their latencies', () => {
    fc.assert(
      fc.property(someLatencies, someLatencies, (some, others) => {
        const together = distributionOf([...some, ...others]);
        expect(merged([distributionOf(some), distributionOf(others)])).to.deep.equal(together);
        expect(callsIn(together)).to.equal(some.length + others.length);
      }),
    );
  });

  it('quantile: of nothing -> not a number', () => {
    expect(quantile(distributionOf([]), 0.5)).to.be.NaN;
  });
});
