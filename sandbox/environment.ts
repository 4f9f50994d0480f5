import { join } from 'node:path';

export interface EnvironmentParts {
  dir: string;
  temporal?: { address: string; namespace: string } | undefined;
  aws?: { env: Readonly<Record<string, string>> } | undefined;
  /** What the worker finds the examples' secrets and its programs by. */
  worker?: Readonly<Record<string, string>>;
}

/**
 * What a worker and the command line need in their environment to work in the sandbox and nowhere else: the product itself does
 * not know of it. A developer's own profiles and configuration files are shut out, which would lead to a real account.
 */
export function sandboxEnvironment({ dir, temporal, aws, worker }: EnvironmentParts): Record<string, string> {
  return {
    ...(temporal === undefined
      ? {}
      : {
          TEMPORAL_ADDRESS: temporal.address,
          TEMPORAL_NAMESPACE: temporal.namespace,
          // Not there on purpose; an empty file crashes @temporalio/envconfig 1.24.
          TEMPORAL_CONFIG_FILE: join(dir, 'no-profiles.toml'),
        }),
    ...(aws === undefined
      ? {}
      : {
          ...aws.env,
          AWS_CONFIG_FILE: '/dev/null',
          AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
          AWS_EC2_METADATA_DISABLED: 'true',
        }),
    ...worker,
  };
}
