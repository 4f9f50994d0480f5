/**
 * The types of the failures that activities throw. They are what a workflow, a client or an operator can rely on;
 * messages are for people and may change.
 */
export const ErrorType = {
  /** A check of the preflight failed; details hold the report. */
  preflight: 'cutover.Preflight',
  /** The service refused the input; retrying can't help. */
  invalid: 'cutover.Invalid',
  /** Credentials are missing or wrong, or a permission is. */
  denied: 'cutover.Denied',
  notFound: 'cutover.NotFound',
  /** Something of this name exists and is not ours. */
  notOurs: 'cutover.NotOurs',
  /** The resource is in a state that will pass; retried slowly. */
  busy: 'cutover.Busy',
  throttled: 'cutover.Throttled',
  unreachable: 'cutover.Unreachable',
  /** A secret that the file names can't be read. */
  secret: 'cutover.Secret',
  /** The service says that what it was asked to do failed (an event, a failure state). */
  serviceFailed: 'cutover.ServiceFailed',
  /** Source and target differ. */
  differs: 'cutover.Differs',
  /** Replication broke, or copies for ever. */
  replication: 'cutover.Replication',
  /** A deadline of ours passed. */
  deadline: 'cutover.Deadline',
  hook: 'cutover.Hook',
  /** A cutover ended with its outcome unknown. */
  inDoubt: 'cutover.InDoubt',
  /** The workflow's end when an operator aborted it. */
  aborted: 'cutover.Aborted',
} as const;
export type ErrorType = (typeof ErrorType)[keyof typeof ErrorType];
