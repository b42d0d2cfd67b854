/** Payloads: what only the graph form can tell: errors, shared objects, cycles, depth. */
import { expect } from 'chai';
import { encodePayload } from '../../../codec/payload.js';
import { roundTrip } from '../../support/payload-values.js';

describe('payload: errors as values', () => {
  it('an Error -> message, stack, cause and own properties', () => {
    const error = Object.assign(new Error('broken', { cause: { at: new Date(5) } }), {
      code: 'E_BROKEN',
      errno: -2,
    });
    const back = roundTrip([error])[0]!;
    expect(back).to.be.instanceOf(Error);
    expect(back.message).to.equal('broken');
    expect(back.stack).to.equal(error.stack);
    expect(back.cause).to.deep.equal({ at: new Date(5) });
    expect(Object.entries(back)).to.deep.equal([
      ['code', 'E_BROKEN'],
      ['errno', -2],
    ]);
    expect(Object.getOwnPropertyNames(back).sort()).to.deep.equal(Object.getOwnPropertyNames(error).sort());
  });

  for (const ErrorClass of [TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError]) {
    it(`${ErrorClass.name} -> an instance of it`, () => {
      const back = roundTrip(new ErrorClass('x'));
      expect(Object.getPrototypeOf(back)).to.equal(ErrorClass.prototype);
      expect(Object.hasOwn(back, 'name')).to.equal(false);
    });
  }

  it('an AggregateError -> with its errors', () => {
    const back = roundTrip(new AggregateError([new TypeError('a'), 5], 'both'));
    expect(back).to.be.instanceOf(AggregateError);
    expect(back.errors[0]).to.be.instanceOf(TypeError);
    expect(back.errors[1]).to.equal(5);
  });

  it('an error class of the user, or of the platform -> the built-in class, with its name', () => {
    class OrderError extends RangeError {
      override name = 'OrderError';
      constructor(readonly order: number) {
        super(`order ${order}`);
      }
    }
    const back = roundTrip(new OrderError(7));
    expect(Object.getPrototypeOf(back)).to.equal(RangeError.prototype);
    expect([back.name, back.message, back.order]).to.deep.equal(['OrderError', 'order 7', 7]);
    const aborted = roundTrip(AbortSignal.abort().reason as Error);
    expect([aborted.name, aborted.message]).to.deep.equal(['AbortError', 'This operation was aborted']);
  });

  it('an Error that causes itself -> does so again', () => {
    const error = new Error('loop');
    error.cause = error;
    const back = roundTrip(error);
    expect(back.cause).to.equal(back);
  });

  it('an Error without a message or stack -> gets none', () => {
    const error = new Error();
    delete error.stack;
    expect(Object.getOwnPropertyNames(roundTrip(error))).to.deep.equal([]);
  });
});

describe('payload: identity', () => {
  it('an object that is met twice -> is one object again, however many others there are', () => {
    for (const others of [0, 5, 20, 500]) {
      const shared = { a: 1 };
      const value = [shared, ...Array.from({ length: others }, () => ({})), shared];
      const back = roundTrip(value);
      expect(back.at(-1)).to.equal(back[0]);
      expect(back).to.deep.equal(value);
    }
  });

  it('a Date or bytes that are met twice -> are one again', () => {
    const [at, bytes] = [new Date(5), new Uint8Array(3)];
    const back = roundTrip([at, bytes, at, bytes]);
    expect([back[2], back[3]]).to.have.ordered.members([back[0], back[1]]);
  });

  it('cycles through every container -> come back', () => {
    const root: Record<string, unknown> = {};
    root.self = root;
    root.list = [root];
    root.map = new Map<unknown, unknown>([[root, root]]);
    root.set = new Set([root, root.map]);
    const back = roundTrip(root);
    expect(back.self).to.equal(back);
    expect((back.list as unknown[])[0]).to.equal(back);
    expect([...(back.map as Map<unknown, unknown>)]).to.have.deep.ordered.members([[back, back]]);
    expect([...(back.set as Set<unknown>)][1]).to.equal(back.map);
  });

  it('a value 50,000 deep -> comes back', () => {
    let value: { next?: unknown } = {};
    for (let depth = 0; depth < 50_000; depth++) value = { next: value };
    let depth = 0;
    for (let at: { next?: unknown } | undefined = roundTrip(value); at?.next; at = at.next as never) depth++;
    expect(depth).to.equal(50_000);
  });

  it('shared references that would expand to 2^200 objects -> take the bytes of 200', () => {
    let value: unknown = 'leaf';
    for (let level = 0; level < 200; level++) value = [value, value];
    expect(encodePayload(value).length).to.be.below(4000);
  });
});
