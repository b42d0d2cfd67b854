import { expect } from 'chai';
import type * as context from '../../runtime/activities/context.js';

const source: context.ContextSource = {
  info: { activityId: 'a' } as context.ActivityInfo,
  get cancellationSignal() {
    return AbortSignal.abort('because');
  },
  beat: () => undefined,
  log: () => undefined,
};

/** The module as it is before anybody has imported `signalbox/activity`. */
function freshModule(name: string): Promise<typeof context> {
  return import(new URL(`../../runtime/activities/context.js?${name}`, import.meta.url).href);
}

describe('activity context', () => {
  it('call paths followed: found after an await, and not outside', async () => {
    const { Context, followCallPaths } = await freshModule('followed');
    followCallPaths();
    const found = await Context.run(new Context(source), async () => {
      await undefined;
      return Context.current().info.activityId;
    });
    expect(found).to.equal('a');
    expect(() => Context.current()).to.throw('only works inside an activity');
  });

  it('call paths not followed: what runs is left alone, and whoever asks is told', async () => {
    const { Context } = await freshModule('unfollowed');
    const asked = Context.run(new Context(source), async () => Context.current());
    const error = await asked.then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(error).to.have.property('name', 'IllegalStateError');
  });

  it('cancelled before anybody looked: rejects all the same', async () => {
    const { Context } = await freshModule('cancelled');
    const error = await new Context(source).cancelled.catch((reason: Error) => reason);
    expect(error).to.include({ name: 'CancelledFailure', message: 'because' });
  });
});
