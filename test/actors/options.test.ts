/** Options and argument lists that workflow code gets wrong: told at once, each with what is wrong (options.ts). */
import { expect } from 'chai';
import { type CommandOf, DrivenSandbox } from '../support/activation.js';

describe('options in workflow code', () => {
  let driven: DrivenSandbox;
  before(async () => {
    driven = await DrivenSandbox.open('misspelt');
  });
  after(() => driven.close());
  afterEach(() => driven.expectReplays());

  const DEFINITION =
    'TypeError: setHandler(...) expects a definition made by defineSignal, defineQuery or defineUpdate, got ';
  const NO_LIMIT = 'TypeError: Required either scheduleToCloseTimeout or startToCloseTimeout';
  const ACTIVITY =
    'The options are: activityId, scheduleToCloseTimeout, scheduleToStartTimeout, startToCloseTimeout, ' +
    'heartbeatTimeout, taskQueue, retry, cancellationType, summary';
  const RETRY =
    'The options are: backoffCoefficient, initialInterval, maximumAttempts, maximumInterval, nonRetryableErrorTypes';
  const START =
    'taskQueue, workflowIdReusePolicy, retry, workflowExecutionTimeout, workflowRunTimeout, workflowTaskTimeout, memo, searchAttributes';
  const CHILD = `The options are: args, workflowId, parentClosePolicy, cancellationType, ${START}`;
  const UPDATE = 'The options are: args, updateId, waitForStage';

  it('arguments that are no array, options that are no object, that there are not or that make no sense: refused, and nothing is asked for', () => {
    const run = driven.start('misspelt');
    expect(run.kinds).to.deep.equal(['completeWorkflow']);
    expect(run.result).to.deep.equal({
      'scheduleActivity, arguments': 'TypeError: arguments of activity ok must be an array, got number',
      'scheduleActivity, text': 'TypeError: arguments of activity ok must be an array, got string',
      'executeWithOptions, arguments': 'TypeError: arguments of activity ok must be an array, got number',
      'startChild, arguments': 'TypeError: arguments of child workflow child must be an array, got number',
      'executeChild, arguments': 'TypeError: arguments of child workflow child must be an array, got string',
      'executeUpdate, arguments': 'TypeError: arguments of update u must be an array, got string',
      'signalWithStart, arguments': 'TypeError: arguments of workflow w must be an array, got number',
      'signalWithStart, of the signal': 'TypeError: arguments of signal s must be an array, got number',
      'scheduleActivity, number': 'TypeError: ActivityOptions must be an object, got number',
      'proxyActivities, text': 'TypeError: ActivityOptions must be an object, got string',
      'executeWithOptions, number': 'TypeError: ActivityOptions must be an object, got number',
      'startChild, list': 'TypeError: ChildWorkflowOptions must be an object, got array',
      'executeUpdate, list': 'TypeError: ExternalUpdateOptions must be an object, got array',
      'startUpdate, nothing': 'TypeError: ExternalUpdateOptions must be an object, got undefined',
      'signalWithStart, nothing': 'TypeError: SignalWithStartOptions must be an object, got undefined',
      'makeContinueAsNewFunc, text': 'TypeError: ContinueAsNewOptions must be an object, got string',
      'setHandler, number': 'TypeError: SignalHandlerOptions must be an object, got number',
      'scheduleActivity, name': `TypeError: ActivityOptions has no option called 'heartbeatTimout'. ${ACTIVITY}`,
      'proxyActivities, name': `TypeError: ActivityOptions has no option called 'retries'. ${ACTIVITY}`,
      'proxyActivities, retry': `TypeError: RetryPolicy has no option called 'maxAttempts'. ${RETRY}`,
      'executeWithOptions, name': `TypeError: ActivityOptions has no option called 'heartbeatTimout'. ${ACTIVITY}`,
      'startChild, name': `TypeError: ChildWorkflowOptions has no option called 'workflowID'. ${CHILD}`,
      'executeChild, name': `TypeError: ChildWorkflowOptions has no option called 'parentClosePolciy'. ${CHILD}`,
      'executeChild, retry': `TypeError: RetryPolicy has no option called 'attempts'. ${RETRY}`,
      'executeChild, cron':
        'TypeError: ChildWorkflowOptions.cronSchedule is not provided: let the workflow begin its next run itself, ' +
        'with makeContinueAsNewFunc({ backoffStartInterval }), or start it from a schedule of your own',
      'executeUpdate, name': `TypeError: ExternalUpdateOptions has no option called 'updateID'. ${UPDATE}`,
      'startUpdate, name': `TypeError: ExternalUpdateOptions has no option called 'updateID'. ${UPDATE}`,
      'signalWithStart, name':
        "TypeError: SignalWithStartOptions has no option called 'signalArg'. The options are: args, workflowId, signal, " +
        `signalArgs, workflowIdConflictPolicy, ${START}`,
      'makeContinueAsNewFunc, name':
        "TypeError: ContinueAsNewOptions has no option called 'workflowRunTimout'. The options are: workflowType, " +
        'taskQueue, workflowRunTimeout, workflowTaskTimeout, backoffStartInterval, memo, searchAttributes, retry',
      'setHandler, name':
        "TypeError: UpdateHandlerOptions has no option called 'validate'. The options are: description, unfinishedPolicy, validator",
      'setHandler, of a query':
        "TypeError: QueryHandlerOptions has no option called 'unfinishedPolicy'. The options are: description",
      'setHandler, of a signal':
        "TypeError: SignalHandlerOptions has no option called 'validator'. The options are: description, unfinishedPolicy",
      'setHandler, validator': 'TypeError: UpdateHandlerOptions.validator must be a function, got number',
      'setHandler, policy':
        "ValueError: Invalid unfinishedPolicy 'IGNORE': it must be one of WARN_AND_ABANDON, ABANDON",
      'setHandler, text': `${DEFINITION}'sig'`,
      'setHandler, undefined': `${DEFINITION}undefined`,
      'setHandler, function': `${DEFINITION}function`,
      'setHandler, without a name': `${DEFINITION}object`,
      'defineSignal, nothing': 'TypeError: defineSignal expects a name, got undefined',
      'defineQuery, empty': 'TypeError: defineQuery expects a name, got an empty one',
      'defineUpdate, function': 'TypeError: defineUpdate expects a name, got function',
      'scheduleActivity, no limit': NO_LIMIT,
      'proxyActivities, no limit': NO_LIMIT,
      'proxyActivities, negative': 'TypeError: startToCloseTimeout must not be negative, got -1',
      'proxyActivities, duration':
        'TypeError: Invalid duration string: "soon". Use a number of ms or text like \'10 seconds\'',
      'proxyActivities, cancellation':
        "ValueError: Invalid cancellationType 'WAIT': it must be one of TRY_CANCEL, WAIT_CANCELLATION_COMPLETED, ABANDON",
    });
  });

  it("Temporal's options that change nothing here, undefined ones, and limits of 0: taken, a limit of 0 as none", () => {
    const run = driven.start('temporals');
    expect(run.kinds).to.deep.equal([
      'scheduleActivity',
      'startChild',
      'startChild',
      'updateExternal',
      'continueAsNew',
    ]);
    const [activity, child] = run.commands as [CommandOf<'scheduleActivity'>, CommandOf<'startChild'>];
    const { startToCloseMs, scheduleToCloseMs, heartbeatMs, cancellationType } = activity;
    expect({ startToCloseMs, scheduleToCloseMs, heartbeatMs, cancellationType }).to.deep.equal({
      startToCloseMs: undefined,
      scheduleToCloseMs: 5,
      heartbeatMs: undefined,
      cancellationType: 'TRY_CANCEL',
    });
    expect(child.runTimeoutMs).to.equal(undefined);
  });
});
