/**
 * Child processes: one order, one answer, then killed without warning.
 *
 * Owns: both sides of that. A child that ends before it answers is an error here, with what it printed on stderr.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Runs a module in a process of its own, gives it the order, waits for its answer and kills it with SIGKILL. */
export async function runChild<Order, Answer>(
  module: URL,
  order: Order,
  execArgv: string[] = [],
): Promise<Answer> {
  const child = fork(fileURLToPath(module), {
    execArgv,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    serialization: 'advanced',
  });
  const exited = once(child, 'exit');
  try {
    const answered = once(child, 'message') as Promise<[Answer]>;
    child.send(order as object);
    const died = exited.then(([code, signal]) => {
      throw new Error(`A child process of the bench ended with ${String(signal ?? code)} before it answered`);
    });
    const [answer] = await Promise.race([answered, died as Promise<never>]);
    return answer;
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}

/** The child's side: does what it is told, answers, and waits for its end. */
export function serve<Order, Answer>(work: (order: Order) => Promise<Answer>): void {
  process.once('message', (order: Order) => {
    work(order).then(
      (answer) => process.send!(answer),
      (error) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
}
