/** The rules of the house, as far as a machine can check them (STYLE: small pieces, imports only downward, one word per concept). */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { expect } from 'chai';
import { repository } from './support/repository.js';

interface Source {
  /** From the repository's root, with forward slashes. */
  file: string;
  text: string;
  /** The comment that it opens with. */
  header: string;
  /** What it imports or re-exports from. */
  imports: string[];
}

function sourcesOf(folder: string): Source[] {
  return readdirSync(path.join(repository, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const file = `${folder}/${name.replaceAll(path.sep, '/')}`;
      const text = readFileSync(path.join(repository, file), 'utf8');
      const header = /^(?:\/\*\*[\s\S]*?\*\/|(?:\/\/.*\n)+)/.exec(text)?.[0] ?? '';
      const imports = Array.from(
        text.matchAll(
          /(?:^|\n)(?:import|export)\s[^;]*?from '([^']+)'|(?:^|\n)import '([^']+)'|\bimport\('([^']+)'\)/g,
        ),
      );
      return { file, text, header, imports: imports.map(([, from, only, lazy]) => (from ?? only ?? lazy)!) };
    });
}

const ROOMS = ['codec', 'actors', 'runtime'];
const sources = ROOMS.flatMap(sourcesOf);
const examples = sourcesOf('examples');

/** Which room an import leads to; undefined for a package. */
function roomOf(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  return path.posix.normalize(path.posix.join(path.posix.dirname(from), specifier)).split('/')[0];
}

/** Lines that hold a word, as `file: line`. */
function linesWith(pattern: RegExp, among: readonly Source[]): string[] {
  return among.flatMap(({ file, text }) =>
    text
      .split('\n')
      .filter((line) => pattern.test(line))
      .map((line) => `${file}: ${line.trim()}`),
  );
}

describe('tidy', () => {
  it('imports: lead downward only, codec <- actors <- runtime', () => {
    const upward = sources.flatMap(({ file, imports }) =>
      imports
        .filter((specifier) => {
          const room = roomOf(file, specifier);
          return room !== undefined && ROOMS.indexOf(room) > ROOMS.indexOf(file.split('/')[0]!);
        })
        .map((specifier) => `${file} imports ${specifier}`),
    );
    expect(upward).to.deep.equal([]);
  });

  it('imports: of the repository lead to one of its rooms, and say .js', () => {
    const odd = sources.flatMap(({ file, imports }) =>
      imports
        .filter(
          (specifier) =>
            specifier.startsWith('.') &&
            (!specifier.endsWith('.js') || !ROOMS.includes(roomOf(file, specifier)!)),
        )
        .map((specifier) => `${file} imports ${specifier}`),
    );
    expect(odd).to.deep.equal([]);
  });

  it('actors: import no module of Node', () => {
    const inActors = sources.filter(({ file }) => file.startsWith('actors/'));
    expect(
      inActors.flatMap(({ file, imports }) =>
        imports.filter(isBuiltin).map((specifier) => `${file} imports ${specifier}`),
      ),
    ).to.deep.equal([]);
  });

  it('lmdb: one file imports it', () => {
    expect(sources.filter(({ imports }) => imports.includes('lmdb')).map(({ file }) => file)).to.deep.equal([
      'runtime/store/lmdb.ts',
    ]);
  });

  it('the time: read in one file on the host and one in the sandbox; the logger stamps its lines', () => {
    const readers = sources.filter(({ text }) =>
      /(?<![\w.'])Date\.now\b|performance\.now|\bnew Date\(\)|process\.hrtime/.test(withoutTexts(text)),
    );
    expect(readers.map(({ file }) => file).sort()).to.deep.equal([
      'actors/sandbox/real-clock.ts',
      'runtime/clock.ts',
      'runtime/logger.ts',
    ]);
  });

  it('rings: no file reaches itself through what it imports', () => {
    const known = new Map(sources.map((source) => [source.file, source]));
    const targets = ({ file, text }: Source): Source[] =>
      // Types leave nothing behind, so a ring of them is none.
      Array.from(text.matchAll(/(?:^|\n)(?:import|export)\s+(?!type\b)([^;]*?)from '(\.[^']+)'/g))
        .filter(([, names]) => !/^\{(\s*type\s+\w+( as \w+)?,?)+\s*\}\s*$/.test(names!))
        .map(([, , specifier]) =>
          known.get(
            path.posix
              .normalize(path.posix.join(path.posix.dirname(file), specifier!))
              .replace(/\.js$/, '.ts'),
          ),
        )
        .filter((source) => source !== undefined);
    const rings: string[] = [];
    const done = new Set<Source>();
    const walk = (source: Source, way: Source[]): void => {
      const at = way.indexOf(source);
      if (at >= 0) rings.push([...way.slice(at), source].map(({ file }) => file).join(' -> '));
      if (at >= 0 || done.has(source)) return;
      for (const target of targets(source)) walk(target, [...way, source]);
      done.add(source);
    };
    for (const source of sources) walk(source, []);
    // The programming model's parts know each other: the activation owns them, and they speak through it.
    expect(rings.filter((ring) => !/^(actors\/[\w-]+\.ts( -> )?)+$/.test(ring))).to.deep.equal([]);
  });

  it('index files: only re-export', () => {
    for (const { file, text } of sources.filter(({ file }) => file.endsWith('/index.ts'))) {
      const rest = text
        .replace(/\/\*[\s\S]*?\*\//g, '')
        .replace(/export (type )?(\{[^}]*\}|\*( as \w+)?) from '[^']+';/g, '');
      expect(rest.trim(), file).to.equal('');
    }
  });

  it('files: open with a comment that says what they are', () => {
    const silent = [...sources, ...examples].filter(
      ({ file, header }) => header.length < 20 && !file.endsWith('/index.ts'),
    );
    expect(silent.map(({ file }) => file)).to.deep.equal([]);
  });

  it('files: over 500 lines only with the reason in their header', () => {
    const long = sources.filter(
      ({ text, header }) => text.split('\n').length - header.split('\n').length > 500,
    );
    expect(
      long
        .filter(({ header }) => !/\blong because\b|\bOne file, because\b/.test(header))
        .map(({ file }) => file),
    ).to.deep.equal([]);
  });

  it('words: none that the glossary has another for', () => {
    const refused =
      /\b([Tt]icks?|[Ii]nbox(es)?|[Ee]ntity|[Ee]ntities|[Gg]rains?|([Rr]e)?[Hh]ydrat\w*|[Hh]ibernat\w*|[Ee]vict\w*)\b|[a-z](Tick|Inbox|Entity|Grain|Hydrate|Evict)(?![a-z])/;
    // Words of Node.js and of Linux, where those are spoken of.
    const foreign =
      /tick queue|_tickCallback|const tick =|typeof tick|tick\.call|clock ticks|same values, order, names, ticks/;
    expect(linesWith(refused, [...sources, ...examples]).filter((line) => !foreign.test(line))).to.deep.equal(
      [],
    );
  });

  it('no leftovers: nothing to be done later, nothing for the debugger, no test that runs alone', () => {
    expect(linesWith(/\b(TODO|FIXME|XXX|HACK)\b|\bdebugger;|console\.log/, sources)).to.deep.equal([]);
    expect(linesWith(/\b(it|describe)\.only\(/, sourcesOf('test'))).to.deep.equal([]);
  });

  it('ARCHITECTURE: the functions that it names are declared in the files that it names them for', function () {
    const file = path.join(repository, 'ARCHITECTURE.md');
    if (!existsSync(file)) return this.skip();
    const text = readFileSync(file, 'utf8');
    const named = Array.from(
      text.matchAll(/`((?:codec|actors|runtime)\/[\w/-]+\.ts)`((?:,? (?:and )?`#?\w+`)*)/g),
    );
    expect(named).to.have.length.above(10);
    for (const [, source, names] of named) {
      expect(existsSync(path.join(repository, source!)), source).to.equal(true);
      const declarations = readFileSync(path.join(repository, source!), 'utf8');
      for (const [, name] of names!.matchAll(/`(#?\w+)`/g)) {
        expect(declarations, `${name} in ${source}`).to.match(
          new RegExp(`(^|[^\\w#.])(\\*\\s*)?${name}(<[^(]*>)?\\s*(\\(|:|=)`, 'm'),
        );
      }
    }
  });
});

/** Source without comments and quoted texts, in which anything may be spoken of. */
function withoutTexts(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '').replace(/'(?:[^'\\\n]|\\.)*'/g, "''");
}
