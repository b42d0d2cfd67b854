/** The real clock, kept back before the sandbox replaces `Date`: for the runtime itself and for `workflowInfo().unsafe.now`. */
export const realNow: () => number = Date.now;
