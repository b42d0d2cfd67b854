/**
 * The deterministic environment: what `Date`, `Math.random`, timers and a few others mean inside the sandbox
 * (semantics.md section 13).
 *
 * Owns: replacing those globals once per realm. All executions of a thread share the realm; whose time and random
 * sequence a call means is known from current.ts.
 * Does not own: the web classes (web.ts), keeping executions from changing any of it (intrinsics.ts).
 */
import { maybeCurrent, mutableActivation } from '../current.js';
import { DeterminismViolationError, stackOf } from '../failures.js';
import { CancellationScope } from '../scopes.js';
import { realNow } from './real-clock.js';

export function installGlobals(global: Record<string, any>): void {
  replaceDate(global);
  replaceDateFormat(global);
  replaceRandom(global);
  replaceTimers(global);
  replaceConsole(global);
  for (const name of ['WeakRef', 'FinalizationRegistry']) {
    global[name] = function nondeterministic() {
      throw new DeterminismViolationError(
        `${name} cannot be used in workflows because v8 GC is non-deterministic: when it runs differs on replay`,
      );
    };
  }
}

function now(): number {
  return maybeCurrent()?.now ?? realNow();
}

function replaceDate(global: Record<string, any>): void {
  const RealDate = global.Date as DateConstructor;
  function SandboxDate(this: unknown, ...args: unknown[]): unknown {
    if (new.target === undefined) return new RealDate(now()).toString();
    return Reflect.construct(RealDate, args.length === 0 ? [now()] : args, new.target);
  }
  Object.defineProperty(SandboxDate, 'name', { value: 'Date' });
  Object.defineProperty(SandboxDate, 'length', { value: 7 });
  SandboxDate.prototype = RealDate.prototype;
  SandboxDate.now = now;
  SandboxDate.parse = RealDate.parse;
  SandboxDate.UTC = RealDate.UTC;
  Object.defineProperty(RealDate.prototype, 'constructor', {
    value: SandboxDate,
    writable: true,
    configurable: true,
  });
  global.Date = SandboxDate;
}

/** A date format that is given no date means now. */
function replaceDateFormat(global: Record<string, any>): void {
  const { prototype } = (global.Intl as typeof Intl).DateTimeFormat;
  const format = Object.getOwnPropertyDescriptor(prototype, 'format')!.get!;
  const { formatToParts } = prototype;
  Object.defineProperties(prototype, {
    format: {
      get(this: Intl.DateTimeFormat) {
        const native = format.call(this) as (date: unknown) => string;
        return (date?: unknown) => native(date === undefined ? now() : date);
      },
      configurable: true,
    },
    formatToParts: {
      value(this: Intl.DateTimeFormat, date?: Date | number) {
        return formatToParts.call(this, date === undefined ? now() : date);
      },
      writable: true,
      configurable: true,
    },
  });
}

function replaceRandom(global: Record<string, any>): void {
  const real = Math.random;
  global.Math.random = () => maybeCurrent()?.random.next() ?? real();
}

function replaceTimers(global: Record<string, any>): void {
  const scopes = new WeakMap<object, Map<number, CancellationScope>>();
  global.setTimeout = (
    callback: (...args: unknown[]) => unknown,
    ms?: number,
    ...args: unknown[]
  ): number => {
    const activation = mutableActivation('setTimeout(...)');
    const scope = new CancellationScope({ cancellable: true });
    const fired = scope.run(() => activation.timers.start(scope, Math.max(1, Number(ms) || 0)));
    const id = activation.lastSeq('timer');
    const own = scopes.get(activation) ?? new Map<number, CancellationScope>();
    scopes.set(activation, own.set(id, scope));
    fired.then(
      () => {
        own.delete(id);
        callback(...args);
      },
      // Cancelled by clearTimeout, or with the scope around it.
      () => own.delete(id),
    );
    return id;
  };
  global.clearTimeout = (id: unknown): void => {
    const activation = mutableActivation('clearTimeout(...)');
    scopes
      .get(activation)
      ?.get(id as number)
      ?.cancel();
  };
}

function replaceConsole(global: Record<string, any>): void {
  const line = (level: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR') => {
    return (...args: unknown[]) => {
      maybeCurrent()?.log(level, args.map((arg) => (typeof arg === 'string' ? arg : show(arg))).join(' '));
    };
  };
  global.console = {
    log: line('INFO'),
    info: line('INFO'),
    debug: line('DEBUG'),
    warn: line('WARN'),
    error: line('ERROR'),
  };
}

function show(value: unknown): string {
  if (value instanceof Error) return stackOf(value) || String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // Cyclic values have no JSON.
    return String(value);
  }
}
