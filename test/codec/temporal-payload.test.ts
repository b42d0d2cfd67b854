import { expect } from 'chai';
import fc from 'fast-check';
import type { Failure, FailureInfo } from '../../codec/failure.js';
import { decodePayload, encodePayload } from '../../codec/payload.js';
import {
  duration,
  fromTemporalFailure,
  fromTemporalPayload,
  fromTemporalPayloads,
  type JsonObject,
  SIGNALBOX_ENCODING,
  searchAttributeOf,
  type TemporalPayload,
  temporalPayloadOf,
  toTemporalFailure,
  toTemporalHeader,
  toTemporalMemo,
  toTemporalPayload,
  toTemporalPayloads,
  toTemporalSearchAttributes,
  valueOfTemporalPayload,
} from '../../codec/temporal-payload.js';
import { expectEqual, isStorable } from '../support/payload-values.js';

const base64 = (text: string | Uint8Array) => Buffer.from(text as string).toString('base64');
const text = (data: string | undefined) => Buffer.from(data ?? '', 'base64').toString();
const encodingOf = (payload: TemporalPayload) => text(payload.metadata.encoding);
const json = (value: unknown): TemporalPayload => ({
  metadata: { encoding: base64('json/plain') },
  data: base64(JSON.stringify(value)),
});

describe('temporal payload', () => {
  const plain: [string, unknown][] = [
    ['null', null],
    ['a boolean', true],
    ['a number', -1.5e300],
    ['text', 'line\nbreak "quoted" 🚦'],
    ['an empty list', []],
    ['nested objects', { a: [1, { b: null }], '': 'x', constructor: 1 }],
  ];
  for (const [what, value] of plain) {
    it(`payload: ${what} -> json/plain`, () => {
      expect(temporalPayloadOf(value)).to.deep.equal(json(value));
    });
  }

  it('payload: undefined -> binary/null without data', () => {
    expect(temporalPayloadOf(undefined)).to.deep.equal({ metadata: { encoding: base64('binary/null') } });
  });

  it('payload: bytes -> binary/plain, also a view into a larger buffer', () => {
    const view = Uint8Array.of(9, 0, 255, 1, 9).subarray(1, 4);
    expect(temporalPayloadOf(view)).to.deep.equal({
      metadata: { encoding: base64('binary/plain') },
      data: base64(Uint8Array.of(0, 255, 1)),
    });
  });

  const shared = { x: 1 };
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  let deep: unknown = 0;
  for (let depth = 0; depth < 5_000; depth++) deep = [deep];
  const inexact: [string, unknown][] = [
    ['a Date', new Date(0)],
    ['a Date inside', { at: new Date(0) }],
    ['a Map', new Map([[1, 2]])],
    ['a bigint', 1n],
    ['NaN', Number.NaN],
    ['-0 inside', [-0]],
    ['an undefined member', { a: undefined }],
    ['bytes inside', { a: Uint8Array.of(1) }],
    ['a shared part', [shared, shared]],
    ['a cycle', cyclic],
    ['5,000 levels', deep],
  ];
  for (const [what, value] of inexact) {
    it(`payload: ${what} -> ${SIGNALBOX_ENCODING}, the stored bytes`, () => {
      const payload = temporalPayloadOf(value);
      expect(encodingOf(payload)).to.equal(SIGNALBOX_ENCODING);
      expect(payload.data).to.equal(base64(encodePayload(value)));
    });
  }

  it('payload: any storable value, there and back -> equal (V1)', () => {
    const values = fc
      .anything({
        withBigInt: true,
        withDate: true,
        withMap: true,
        withSet: true,
        withTypedArray: true,
        withNullPrototype: false,
      })
      .filter(isStorable);
    fc.assert(
      fc.property(values, (value) => {
        const stored = encodePayload(value);
        const back = fromTemporalPayload(toTemporalPayload(stored));
        expectEqual(decodePayload(back), decodePayload(stored));
      }),
      // A Map with keys that are objects without a text of their own: hard on whoever compares.
      {
        numRuns: 500,
        examples: [
          [
            new Map<unknown, unknown>([
              [new Map(), false],
              [{ toString: 0 }, 1],
            ]),
          ],
        ],
      },
    );
  });

  it('payload: json/plain -> JSON gives the value back exactly', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const payload = temporalPayloadOf(decodePayload(encodePayload(value)));
        if (encodingOf(payload) !== 'json/plain') return;
        expectEqual(JSON.parse(text(payload.data)), decodePayload(encodePayload(value)));
      }),
    );
  });

  it('payloads: an argument list, there and back -> one payload an argument', () => {
    const args = [1, undefined, new Date(5), Uint8Array.of(1)];
    const payloads = toTemporalPayloads(encodePayload(args));
    expect(payloads.payloads.map(encodingOf)).to.deep.equal([
      'json/plain',
      'binary/null',
      SIGNALBOX_ENCODING,
      'binary/plain',
    ]);
    expect(decodePayload(fromTemporalPayloads(payloads))).to.deep.equal(args);
  });

  it('payloads: absent, or without members -> an empty list', () => {
    for (const absent of [undefined, null, {}])
      expect(decodePayload(fromTemporalPayloads(absent))).to.deep.equal([]);
  });

  it('payload: json/protobuf from elsewhere -> read as JSON', () => {
    const payload = {
      metadata: { encoding: base64('json/protobuf'), messageType: base64('x.Y') },
      data: base64('{"a":1}'),
    };
    expect(valueOfTemporalPayload(payload)).to.deep.equal({ a: 1 });
  });

  it('payload: unknown or missing encoding -> throws and names it', () => {
    expect(() => valueOfTemporalPayload({ metadata: { encoding: base64('binary/encrypted') } })).to.throw(
      'Unknown payload encoding: binary/encrypted',
    );
    expect(() => valueOfTemporalPayload({ metadata: {} })).to.throw('Unknown payload encoding: (none)');
  });

  it('memo and header: stored -> fields of payloads', () => {
    expect(toTemporalMemo(encodePayload({ a: 1, b: [true] }))).to.deep.equal({
      fields: { a: json(1), b: json([true]) },
    });
    expect(toTemporalHeader({ h: encodePayload('v') })).to.deep.equal({ fields: { h: json('v') } });
  });

  it('search attributes: values -> JSON and the type that a server would note', () => {
    const at = new Date('2026-01-02T03:04:05.678Z');
    const cases: [unknown, string | undefined, unknown][] = [
      ['text', 'Keyword', 'text'],
      [['a', 'b'], 'KeywordList', ['a', 'b']],
      [3, 'Int', 3],
      [2.5, 'Double', 2.5],
      [[4], 'Int', [4]],
      [true, 'Bool', true],
      [at, 'Datetime', at.toISOString()],
      [[at], 'Datetime', [at.toISOString()]],
      [null, undefined, null],
      [[], undefined, []],
    ];
    for (const [value, type, asJson] of cases) {
      const payload = searchAttributeOf(value);
      expect([
        payload.metadata.type && text(payload.metadata.type),
        JSON.parse(text(payload.data)),
      ]).to.deep.equal([type, asJson]);
    }
    expect(toTemporalSearchAttributes(encodePayload({ K: 'x' }))).to.deep.equal({
      indexedFields: { K: searchAttributeOf('x') },
    });
  });
});

describe('temporal failure', () => {
  const details = encodePayload([1, 'two']);
  const payloads = toTemporalPayloads(details);
  const wrapped = (info: FailureInfo): Failure => ({ message: 'm', source: 's', info });

  const known: [FailureInfo, JsonObject][] = [
    [
      {
        kind: 'application',
        type: 'T',
        nonRetryable: true,
        details,
        nextRetryDelay: 1500,
        category: 'BENIGN',
      },
      {
        applicationFailureInfo: {
          type: 'T',
          nonRetryable: true,
          details: payloads,
          nextRetryDelay: '1.500s',
          category: 'APPLICATION_ERROR_CATEGORY_BENIGN',
        },
      },
    ],
    [
      { kind: 'timeout', timeoutType: 'START_TO_CLOSE', lastHeartbeatDetails: details },
      { timeoutFailureInfo: { timeoutType: 'TIMEOUT_TYPE_START_TO_CLOSE', lastHeartbeatDetails: payloads } },
    ],
    [{ kind: 'cancelled', details }, { canceledFailureInfo: { details: payloads } }],
    [{ kind: 'terminated' }, { terminatedFailureInfo: {} }],
    [{ kind: 'server', nonRetryable: false }, { serverFailureInfo: { nonRetryable: false } }],
    [
      { kind: 'activity', activityType: 'A', activityId: '1', retryState: 'TIMEOUT', identity: 'w' },
      {
        activityFailureInfo: {
          activityType: { name: 'A' },
          activityId: '1',
          retryState: 'RETRY_STATE_TIMEOUT',
          identity: 'w',
        },
      },
    ],
    [
      {
        kind: 'childWorkflow',
        namespace: 'n',
        workflowId: 'w',
        runId: 'r',
        workflowType: 'T',
        retryState: 'IN_PROGRESS',
      },
      {
        childWorkflowExecutionFailureInfo: {
          namespace: 'n',
          workflowExecution: { workflowId: 'w', runId: 'r' },
          workflowType: { name: 'T' },
          retryState: 'RETRY_STATE_IN_PROGRESS',
        },
      },
    ],
  ];
  for (const [info, fields] of known) {
    it(`failure: ${info.kind} -> its info, and back (V1)`, () => {
      expect(toTemporalFailure(wrapped(info))).to.deep.equal({ message: 'm', source: 's', ...fields });
      expect(fromTemporalFailure(toTemporalFailure(wrapped(info)))).to.deep.equal(wrapped(info));
    });
  }

  it('failure: plain, with stack and causes, without a source -> the same fields, source of the SDK', () => {
    const failure: Failure = {
      message: 'outer',
      stackTrace: 'at x',
      cause: { message: 'inner', cause: { message: 'root' } },
    };
    const source = 'TypeScriptSDK';
    expect(toTemporalFailure(failure)).to.deep.equal({
      message: 'outer',
      source,
      stackTrace: 'at x',
      cause: { message: 'inner', source, cause: { message: 'root', source } },
    });
  });

  it('failure: info of a kind that is not known here -> a plain failure', () => {
    const foreign = { message: 'm', nexusHandlerFailureInfo: { type: 'x' }, encodedAttributes: {} };
    expect(fromTemporalFailure(foreign)).to.deep.equal({ message: 'm' });
  });

  it('duration: ms -> seconds with as many digits as needed', () => {
    const cases: [number | undefined, string | undefined][] = [
      [undefined, undefined],
      [0, '0s'],
      [1, '0.001s'],
      [10_000, '10s'],
      [1_500, '1.500s'],
      [0.25, '0.000250s'],
      [31_536_000_000_000, '31536000000s'],
    ];
    for (const [ms, expected] of cases) expect(duration(ms)).to.equal(expected);
  });
});
