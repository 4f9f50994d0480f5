/** The package's `cutover/dual-write`: for applications; needs ioredis alone. */
export { DualWriteRedis } from './dual-write-redis.ts';
export type { DualWriteStatus } from './dual-write-redis.ts';
export type { DualWriteOptions, SecondWritePolicy, Server } from './options.ts';
export type { SecondWriteFailure } from './second-write.ts';
export { DualWriteError, SecondWriteFailed } from './errors.ts';
export type { DualControl, DualPhase, DualSide } from '../../spec/dual-write.ts';
