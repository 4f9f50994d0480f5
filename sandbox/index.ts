/** The sandbox: a local AWS, a real Temporal, a real Redis and a real Postgres. The product never imports it. */
export { startSandbox, type Sandbox, type StartSandboxOptions } from './assemble.ts';
export { sandboxEnvironment } from './environment.ts';
export { createGroup, elastiCacheOf, EXAMPLE_GROUP } from './example-group.ts';
export { furnish, type Furnished, type FurnishOptions } from './furnish.ts';
export { type PostgresPair } from './postgres-pair.ts';
export { DEFAULT_PORTS, type SandboxPorts } from './ports-of-dir.ts';
export { productSearchAttributes } from './search-attributes.ts';
export { REDASH_ROWS, REDASH_SECRETS } from './redash-service.ts';
export { type SandboxInfo } from './state-file.ts';
export { sandboxDown, sandboxStatus, sandboxUp, type SandboxUpOptions } from './up.ts';
