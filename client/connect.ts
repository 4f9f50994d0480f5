/** The connection to Temporal, set up as every Temporal tool is: TEMPORAL_ADDRESS, profiles, TLS, API key. */
import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import { loadClientConnectConfig, type ClientConnectConfig } from '@temporalio/envconfig';
import { Unreachable, WrongUsage } from './errors.ts';
import { connectionFailure } from './grpc-failure.ts';

export const DEFAULT_ADDRESS = 'localhost:7233';

export interface ConnectOptions {
  /** host:port. Default: TEMPORAL_ADDRESS, or the profile's, or localhost:7233. */
  address?: string | undefined;
  /** Default: TEMPORAL_NAMESPACE, or the profile's, or `default`. */
  namespace?: string | undefined;
  /** A profile of the Temporal CLI's own file (~/.config/temporalio/temporal.toml). Default: TEMPORAL_PROFILE. */
  profile?: string | undefined;
  /** How long connecting may take, in ms. Default 5000: the SDK's 10 s is long for a person who waits. */
  connectTimeoutMs?: number | undefined;
}

/** Where to connect, and how. `connectionOptions` may hold an API key and is never to be logged. */
export interface ConnectSettings {
  address: string;
  namespace: string;
  connectionOptions: ClientConnectConfig['connectionOptions'];
}

/**
 * Reads the environment and the profile (facts/temporal 1, envconfig); what is given goes before both.
 * @throws WrongUsage where the profile is not there or can't be read.
 */
export function connectSettings(options: ConnectOptions = {}): ConnectSettings {
  let config: ClientConnectConfig;
  try {
    config = loadClientConnectConfig(options.profile ? { profile: options.profile } : {});
  } catch (error) {
    throw new WrongUsage(`the settings of the connection can't be read: ${(error as Error).message}`, {
      mend: 'look at --profile, the TEMPORAL_… variables, and ~/.config/temporalio/temporal.toml',
      cause: error,
    });
  }
  // A variable that is set but empty is one that was not meant: compose files and CI leave such behind.
  const address = options.address || config.connectionOptions.address || DEFAULT_ADDRESS;
  if (!/^(\[[\da-fA-F:.]+\]|[^:/\s]+)(:\d{1,5})?$/.test(address)) {
    throw new WrongUsage(`the address of Temporal is "${address.replace(/\/\/.*@/, '//…@')}", expected host:port`, {
      mend: `such as --address ${DEFAULT_ADDRESS}`,
    });
  }
  const namespace = options.namespace || config.namespace || 'default';
  return { address, namespace, connectionOptions: { ...config.connectionOptions, address } };
}

/**
 * Connects to Temporal. Close it with `client.connection.close()`.
 * @throws Unreachable where nothing answers at the address, or it refuses us; WrongUsage where the settings are wrong.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  const { address, namespace, connectionOptions } = connectSettings(options);
  const { tls, ...rest } = connectionOptions;
  try {
    const connection = await Connection.connect({
      ...(rest as ConnectionOptions),
      ...(tls === undefined ? {} : { tls }),
      connectTimeout: options.connectTimeoutMs ?? 5000,
    });
    return new Client({ connection, namespace });
  } catch (error) {
    if (error instanceof Unreachable) throw error;
    throw connectionFailure(error, address, namespace);
  }
}
