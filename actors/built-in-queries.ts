/**
 * The queries that every workflow answers without a handler of its own (semantics.md 5.10): their names as definitions,
 * for clients and for workflows, and what they answer, in the shapes of Temporal's SDKs.
 *
 * Does not own: the answers (handlers.ts for the metadata; for the stack traces runtime/stack-trace.ts, since an activation
 * does not know where it waits).
 */
import {
  ENHANCED_STACK_TRACE_QUERY,
  METADATA_QUERY,
  type QueryDefinition,
  STACK_TRACE_QUERY,
} from './definitions.js';

export interface StackTraceSDKInfo {
  name: string;
  version: string;
}

/** One call. Lines and columns count from 1. */
export interface StackTraceFileLocation {
  /** Relative to the working directory of the process, if the file lies in it; else to the folder of the workflows module. */
  file_path?: string;
  line?: number;
  column?: number;
  function_name?: string;
  /** Always false: the runtime's own calls are left out. */
  internal_code: boolean;
}

/** One wait, innermost call first. */
export interface StackTrace {
  locations: StackTraceFileLocation[];
}

/** A part of a file, beginning at a line. */
export interface StackTraceFileSlice {
  line_offset: number;
  content: string;
}

export interface EnhancedStackTrace {
  sdk: StackTraceSDKInfo;
  stacks: StackTrace[];
  /** Files that the stacks name, as they were when the runtime was opened; empty unless it was opened with `showStackTraceSources`. */
  sources: Record<string, StackTraceFileSlice[]>;
}

export interface HandlerMetadata {
  name: string;
  /** As given to setHandler. */
  description?: string;
}

export interface WorkflowMetadata {
  definition: {
    type: string;
    /** The built-in queries first. */
    queryDefinitions: HandlerMetadata[];
    signalDefinitions: HandlerMetadata[];
    updateDefinitions: HandlerMetadata[];
  };
  /** What the workflow said last with setCurrentDetails; '' if it said nothing. */
  currentDetails: string;
}

/**
 * Where an open execution waits: the stacks of its waits as V8 writes them, innermost call first, a blank line between
 * two. '' for a closed one. Answered by a replay of the history, so it takes as long as a recovery.
 */
export const stackTraceQuery: QueryDefinition<string> = { type: 'query', name: STACK_TRACE_QUERY };

/** The same as data, with the sources if the runtime was opened with `showStackTraceSources`. */
export const enhancedStackTraceQuery: QueryDefinition<EnhancedStackTrace> = {
  type: 'query',
  name: ENHANCED_STACK_TRACE_QUERY,
};

/** The names and descriptions of an execution's handlers, and its current details. */
export const workflowMetadataQuery: QueryDefinition<WorkflowMetadata> = {
  type: 'query',
  name: METADATA_QUERY,
};

/** In the order in which they are listed. */
export const BUILT_IN_QUERIES: readonly HandlerMetadata[] = [
  { name: STACK_TRACE_QUERY, description: 'Where the workflow waits, as text' },
  {
    name: ENHANCED_STACK_TRACE_QUERY,
    description: 'Where the workflow waits, as data that may have the sources with it',
  },
  { name: METADATA_QUERY, description: 'Which handlers the workflow has, and its current details' },
];
