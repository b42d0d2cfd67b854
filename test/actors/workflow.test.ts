/** The authoring API outside of a workflow (workflow.ts, current.ts): importable, and refused with the name of the call. */
import { expect } from 'chai';
import * as wf from '../../actors/workflow.js';

const none = async (): Promise<number> => 1;

describe('workflow API', () => {
  it('outside of a workflow: every call says that it belongs into one', () => {
    const calls: [string, () => unknown][] = [
      ['startChild(...)', () => wf.startChild(none)],
      ['executeChild(...)', () => wf.executeChild(none)],
      ['getExternalWorkflowHandle(...)', () => wf.getExternalWorkflowHandle('w')],
      ['signalWithStart(...)', () => wf.signalWithStart(none, { workflowId: 'w', signal: 's' })],
      ['continueAsNew(...)', () => wf.continueAsNew()],
      ['continueAsNew(...)', () => wf.makeContinueAsNewFunc()],
    ];
    for (const [api, call] of calls) {
      expect(call, api).to.throw(wf.IllegalStateError, `Workflow.${api}`);
      expect(call, api).to.throw('may only be used from a Workflow Execution.');
    }
  });
});
