/** What Restate calls: an object that counts and a workflow with one step, in a process of their own as one would deploy them. */
import { once } from 'node:events';
import { createServer } from 'node:http2';
import * as restate from '@restatedev/restate-sdk';

// The SDK is written for Node.js 22; on Node.js 20 this is all that it lacks.
const P = /** @type {any} */ (Promise);
P.withResolvers ??= () => {
  /** @type {any} */
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};

const counter = restate.object({
  name: 'counter',
  handlers: {
    /** @param {restate.ObjectContext} ctx @param {number} by */
    add: async (ctx, by) => {
      ctx.set('sum', ((await ctx.get('sum')) ?? 0) + by);
    },
    /** @param {restate.ObjectContext} ctx @param {number} by */
    increment: async (ctx, by) => {
      const sum = ((await ctx.get('sum')) ?? 0) + by;
      ctx.set('sum', sum);
      return sum;
    },
    total: restate.handlers.object.shared(
      /** @param {restate.ObjectSharedContext} ctx */
      async (ctx) => (await ctx.get('sum')) ?? 0,
    ),
  },
});

const step = restate.workflow({
  name: 'step',
  handlers: {
    /** @param {restate.WorkflowContext} ctx @param {number} value */
    run: (ctx, value) => ctx.run('echo', async () => value),
  },
});

const server = createServer(restate.createEndpointHandler({ services: [counter, step] }));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.send?.(/** @type {import('node:net').AddressInfo} */ (server.address()).port);
// Without its parent nobody would end it.
process.once('disconnect', () => process.exit(0));
