/** Payloads: what cannot be stored, and how the error names the place and the reason. */
import { expect } from 'chai';
import { DEFAULT_PAYLOAD_BYTES_MAX, encodePayload, PayloadTooLargeError } from '../../../codec/payload.js';
import { expectSame, refusalOf } from '../../support/payload-values.js';

describe('payload: refusals', () => {
  class User {
    name = 'me';
  }
  const cases: [string, unknown, string, string][] = [
    ['a function', [{ user: { onClick: () => 1 } }], 'args[0].user.onClick', 'functions cannot be stored'],
    ['a symbol', [Symbol('x')], 'args[0]', 'symbols cannot be stored'],
    ['a symbol key', { a: { [Symbol('x')]: 1 } }, 'args.a[Symbol(x)]', 'symbol keys cannot be stored'],
    [
      'a function in a Map',
      [{ 'weird key': new Map([['k', () => 1]]) }],
      'args[0]["weird key"].get("k")',
      'functions',
    ],
    ['a function behind a Map key object', new Map([[{}, [() => 1]]]), 'args.value(0)[0]', 'functions'],
    [
      'a function in a Map key',
      new Map([
        [1, 1],
        [[() => 1] as never, 1],
      ]),
      'args.key(1)[0]',
      'functions',
    ],
    ['a function in a Set', new Set([1, () => 1]), 'args.item(1)', 'functions'],
    ['a function in a cause', [new Error('x', { cause: { f: () => 1 } })], 'args[0].cause.f', 'functions'],
    ['a function on an Error', Object.assign(new Error('x'), { f: () => 1 }), 'args.f', 'functions'],
    ['a class instance', [{ user: new User() }], 'args[0].user', 'instances of User cannot be stored'],
    ['a toJSON method', [{ toJSON: () => 1 }], 'args[0].toJSON', 'functions'],
    ['a subclass of Map', [new (class Cache extends Map {})()], 'args[0]', 'instances of Cache'],
    ['a subclass of Array', [new (class List extends Array {})()], 'args[0]', 'instances of List'],
    ['a subclass of Date', [new (class Day extends Date {})()], 'args[0]', 'instances of Day'],
    [
      'an instance of a class without Object',
      Reflect.construct(Object, [], class Bare extends (null as unknown as ObjectConstructor) {}),
      'args',
      'Bare',
    ],
    ['an object that inherits', Object.create({ a: 1 }), 'args', 'objects with a prototype of their own'],
    ['a Promise', [Promise.resolve()], 'args[0]', 'a Promise cannot be stored, await it first'],
    ['a WeakMap', new WeakMap(), 'args', 'instances of WeakMap'],
    ['a boxed number', Object(1), 'args', 'instances of Number'],
    ['an iterator', [[1].values()], 'args[0]', 'Iterator'],
    ['a generator', (function* () {})(), 'args', 'Generator'],
    ['shared memory', [new SharedArrayBuffer(8)], 'args[0]', 'shared memory'],
    ['a view on shared memory', [new Uint8Array(new SharedArrayBuffer(8))], 'args[0]', 'shared memory'],
    ['a proxy of a Map', [new Proxy(new Map(), {})], 'args[0]', 'a proxy or an imitation of a Map'],
    ['an imitation of a Date', [Object.create(Date.prototype)], 'args[0]', 'Date'],
    ['a proxy of a function', new Proxy(() => 1, {}), 'args', 'functions'],
  ];
  for (const [what, value, path, reason] of cases) {
    it(`${what} -> refused at ${path}`, () => {
      const error = refusalOf(value);
      expect(error.path).to.equal(path);
      expect(error.message).to.include(`Cannot store ${path}: `).and.to.include(reason);
      expect(error).to.be.instanceOf(TypeError);
      expect(error.name).to.equal('PayloadEncodeError');
    });
  }

  it('a getter that throws -> refused with its error as the cause', () => {
    const cause = new Error('not now');
    const error = refusalOf([
      {
        get a() {
          throw cause;
        },
      },
    ]);
    expect(error.path).to.equal('args[0].a');
    expect(error.cause).to.equal(cause);
    expect(error.message).to.include('not now');
  });

  it('a revoked proxy -> refused, not a bare TypeError', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(refusalOf([proxy]).path).to.equal('args[0]');
  });

  it('something deep down -> the path leaves out its middle', () => {
    let value: unknown = () => 1;
    for (let depth = 0; depth < 1000; depth++) value = { next: value };
    const { path } = refusalOf(value);
    expect(path).to.match(/^args\.next.* \.\.\. .*\.next$/);
    expect(path.length).to.be.below(300);
  });

  it('after a refusal -> the next value is stored as ever', () => {
    refusalOf([() => 1]);
    expectSame([{ name: 'me', n: 1 }]);
  });
});

describe('payload: limits', () => {
  it('a value over the limit -> says what, its size, the limit and the setting', () => {
    const error = catchTooLarge(() => encodePayload(['x'.repeat(100)], 'args', 50));
    expect(error.message).to.equal(
      'Cannot store args: it needs 103 bytes and the limit is 50 bytes (limits.payloadBytesMax)',
    );
    expect([error.name, error.bytes, error.limit]).to.deep.equal(['PayloadTooLargeError', 103, 50]);
  });

  it('a value of exactly the limit -> stored', () => {
    const text = 'x'.repeat(DEFAULT_PAYLOAD_BYTES_MAX - 5);
    expect(encodePayload(text).length).to.equal(DEFAULT_PAYLOAD_BYTES_MAX);
    catchTooLarge(() => encodePayload(`${text}x`));
  });

  it('values far over the limit -> refused before they are packed', () => {
    const text = 'x'.repeat(1_000_000);
    const far = [new Array(4e9), new Array(100).fill(text), text.repeat(100), new Uint8Array(5e7)];
    for (const value of [...far, { a: new Map([[1, new Array(100).fill(text)]]) }, 2n ** 30_000_000n]) {
      const error = catchTooLarge(() => encodePayload([value]));
      expect(error.bytes).to.be.above(error.limit);
    }
  });

  function catchTooLarge(run: () => unknown): PayloadTooLargeError {
    try {
      run();
    } catch (error) {
      expect(error).to.be.instanceOf(PayloadTooLargeError);
      return error as PayloadTooLargeError;
    }
    throw new Error('It was not too large');
  }
});
