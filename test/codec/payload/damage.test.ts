/** Payloads: bytes that are no value, however they came to be, are refused at once and harm nothing. */
import { expect } from 'chai';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { decodePayload, encodePayload, PayloadDecodeError } from '../../../codec/payload.js';
import { anyValue, expectSame } from '../../support/payload-values.js';

describe('payload: damage', () => {
  it('no bytes, torn bytes, bytes too many, strangers -> PayloadDecodeError', () => {
    const bytes = encodePayload([{ name: 'me' }, new Map([[1, new Date(5)]])]);
    const damaged = [
      new Uint8Array(0),
      bytes.slice(0, -1),
      Uint8Array.from([...bytes, 0]),
      'x',
      null,
      new Int8Array(1),
    ];
    for (const input of damaged) {
      expect(() => decodePayload(input as Uint8Array)).to.throw(
        PayloadDecodeError,
        'Cannot read a stored value',
      );
    }
  });

  it('lengths beyond the end -> PayloadDecodeError at once', () => {
    const bombs = [
      'ddffffffff',
      'dfffffffff',
      'dbffffffff',
      'c6ffffffff',
      'c9ffffffff01',
      'dd01c9c380'.repeat(1000),
    ];
    for (const hex of [...bombs, 'dcffff'.repeat(1000), 'c1ddffffffff']) {
      expect(() => decodePayload(Buffer.from(hex, 'hex'))).to.throw(PayloadDecodeError);
    }
  });

  it('nesting deeper than the stack -> PayloadDecodeError, and the next value is read', () => {
    const bytes = new Uint8Array(1_000_000).fill(0x91);
    bytes[bytes.length - 1] = 1;
    expect(() => decodePayload(bytes)).to.throw(PayloadDecodeError);
    expectSame([{ name: 'me', n: 1 }]);
  });

  it('extensions that encodePayload never writes -> PayloadDecodeError', () => {
    for (const hex of [
      'd4724091a16101',
      'd670000000010',
      'd66900000001c0',
      'd4650093a165a16dc0',
      'd47300',
      'c1',
      'c70274ff00',
    ]) {
      expect(() => decodePayload(Buffer.from(hex, 'hex'))).to.throw(PayloadDecodeError);
    }
  });

  it('a graph with references to nowhere, wrong kinds or wrong contents -> PayloadDecodeError', () => {
    const pack = new Packr({ useRecords: false });
    const tables: unknown[] = [
      ...[
        1,
        [],
        [1],
        [[[1]]],
        [[[-1]], [0]],
        [[[0.5]], [0]],
        [[['x']]],
        [[[9, 9]]],
        [[[2, 'zz']]],
        [[[1]], []],
      ],
      ...[
        [[[1]], [99]],
        [[[1]], [7, 'Nope', new Uint8Array(1)]],
        [[[1]], [7, 'Int16Array', new Uint8Array(3)]],
      ],
      ...[
        [[[1]], [6, 5]],
        [[[1]], [8, 'constructor', 0]],
        [[[1]], [5, '(', '']],
        [[[1]], [0, [1], 1]],
      ],
    ];
    for (const table of tables) {
      const bytes = Uint8Array.from([0xc1, ...pack.pack(table)]);
      expect(() => decodePayload(bytes), JSON.stringify(table)).to.throw(PayloadDecodeError);
    }
  });

  it('random bytes, and values with bytes changed -> a value or PayloadDecodeError, nothing else', () => {
    const mutated = fc
      .tuple(anyValue, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }))
      .map(([value, changes]) => {
        const bytes = encodePayload(value);
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), (bytes) => {
        try {
          decodePayload(bytes);
        } catch (error) {
          expect(error).to.be.instanceOf(PayloadDecodeError);
        }
      }),
      { numRuns: 2000 },
    );
    expectSame([{ name: 'me', n: 1 }]);
  });
});
