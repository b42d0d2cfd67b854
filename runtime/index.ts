export { WorkflowBundleError } from './bundle-errors.js';
export { Client } from './client/client.js';
export { ConfigurationError, InvariantError } from './errors.js';
export { DEFAULT_LIMITS, type Limits } from './limits.js';
export { DefaultLogger, type Logger, type LogLevel } from './logger.js';
export type { NamespaceOptions } from './namespaces.js';
export { Runtime, type RuntimeOptions } from './runtime.js';
export {
  StoreClosedError,
  StoreFailedError,
  StoreFormatError,
  StoreFullError,
  StoreLockedError,
  StoreMissingError,
  StoreUnreadableError,
} from './store/errors.js';
