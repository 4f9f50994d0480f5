/** The sandbox: a local AWS, a real Temporal and a real Redis. The product never imports it. */
export { startSandbox, type Sandbox, type StartSandboxOptions } from './assemble.ts';
export { sandboxEnvironment } from './environment.ts';
export { createGroup, elastiCacheOf, EXAMPLE_GROUP, furnish } from './furnish.ts';
export { DEFAULT_PORTS, type SandboxPorts } from './ports-of-dir.ts';
export { productSearchAttributes } from './search-attributes.ts';
export { type SandboxInfo } from './state-file.ts';
export { sandboxDown, sandboxStatus, sandboxUp, type SandboxUpOptions } from './up.ts';
