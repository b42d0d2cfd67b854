import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { ConfigurationError } from '../../runtime/index.js';
import { DEFAULT_LIMITS, withDefaults } from '../../runtime/limits.js';
import { repository } from '../support/repository.js';

describe('limits', () => {
  it('none given: the defaults', () => {
    expect(withDefaults()).to.deep.equal(DEFAULT_LIMITS);
    expect(withDefaults({})).to.deep.equal(DEFAULT_LIMITS);
  });

  it('some given: those, and the defaults for the rest', () => {
    expect(withDefaults({ turnMsMax: 5 })).to.deep.equal({ ...DEFAULT_LIMITS, turnMsMax: 5 });
  });

  it('every limit: says what it counts, why it is there and who enforces it', () => {
    const folder = path.join(repository, 'runtime');
    const source = readFileSync(path.join(folder, 'limits.ts'), 'utf8');
    const documented = new Map(
      // One comment may stand above two limits that belong together.
      Array.from(source.matchAll(/\/\*\* ([^*]+)\*\/\n {2}(\w+): number;(?:\n {2}(\w+): number;)?/g)).flatMap(
        ([, text, first, second]) =>
          [first, second].filter((name) => name !== undefined).map((name) => [name, text!] as const),
      ),
    );
    for (const name of Object.keys(DEFAULT_LIMITS)) {
      expect(name).to.match(
        /(Ms|Bytes|Messages|Percent|activations|activities|updates|attempts|rows|watches).*(Max|Min|Hard)$/i,
      );
      const enforcers = /\(([^()]+)\)\s*$/.exec(documented.get(name) ?? '')?.[1]?.split(', ') ?? [];
      expect(enforcers, name).to.have.length.above(0);
      for (const file of enforcers)
        expect(existsSync(path.join(folder, file)), `${name}: ${file}`).to.equal(true);
    }
  });

  const BAD: [string, unknown, RegExp][] = [
    ['an unknown name', { turnsMax: 1 }, /no limit called 'turnsMax'\. The limits are: turnMsMax, /],
    ['a name that every object has', { toString: 1 }, /no limit called 'toString'/],
    ['zero', { turnMsMax: 0 }, /limits\.turnMsMax must be a positive number, got 0/],
    [
      'a negative number',
      { payloadBytesMax: -1 },
      /limits\.payloadBytesMax must be a positive number, got -1/,
    ],
    [
      'not a number',
      { payloadBytesMax: '1 MB' },
      /limits\.payloadBytesMax must be a positive number, got 1 MB/,
    ],
    ['NaN', { payloadBytesMax: Number.NaN }, /positive number, got NaN/],
    ['null instead of limits', null, /limits must be an object/],
    ['a number instead of limits', 5, /limits must be an object/],
    [
      'identifiers that no key of the store can hold',
      { identifierBytesMax: 5_000 },
      /limits\.identifierBytesMax must be at most 1000, got 5000/,
    ],
  ];
  for (const [name, limits, message] of BAD) {
    it(`${name}: ConfigurationError`, () => {
      expect(() => withDefaults(limits as object)).to.throw(ConfigurationError, message);
    });
  }
});
