import type { PostgreSQLSettings } from '@aws-sdk/client-database-migration-service';
import { invalidCombination, invalidValue } from './faults.ts';
import { oneOf } from './validation.ts';

/** Names of extra connection attributes, as the guide writes them, to the API's; and their type. */
const ATTRIBUTES: Readonly<Record<string, 'string' | 'boolean' | 'number'>> = {
  AfterConnectScript: 'string',
  CaptureDdls: 'boolean',
  MaxFileSize: 'number',
  DdlArtifactsSchema: 'string',
  ExecuteTimeout: 'number',
  FailTasksOnLobTruncation: 'boolean',
  HeartbeatEnable: 'boolean',
  HeartbeatSchema: 'string',
  HeartbeatFrequency: 'number',
  SlotName: 'string',
  PluginName: 'string',
  TrimSpaceInChar: 'boolean',
  MapBooleanAsBoolean: 'boolean',
  MapJsonbAsClob: 'boolean',
  MapLongVarcharAs: 'string',
  MapUnboundedNumericAsString: 'boolean',
  DisableUnicodeSourceFilter: 'boolean',
  DatabaseMode: 'string',
  BabelfishDatabaseName: 'string',
};
const ADDRESS = ['ServerName', 'Port', 'DatabaseName', 'Username', 'Password'] as const;

/**
 * PostgreSQLSettings and ExtraConnectionAttributes as one document under the API's names, without address and password.
 * @throws AwsFault InvalidParameterValueException for what is not known or not of its type, InvalidParameterCombinationException for what both say.
 */
export function postgresSettings(
  given: PostgreSQLSettings | undefined,
  extra: string | undefined,
): Record<string, unknown> {
  const settings: Record<string, unknown> = { ...given };
  for (const name of ADDRESS) delete settings[name];
  for (const name of ['SecretsManagerSecretId', 'SecretsManagerAccessRoleArn', 'AuthenticationMethod']) {
    if (settings[name] !== undefined) {
      throw invalidValue(`PostgreSQLSettings.${name} is not served by this sandbox; give Username and Password.`);
    }
  }
  for (const [name, value] of Object.entries(parseExtra(extra ?? ''))) {
    if (settings[name] !== undefined) {
      throw invalidCombination(`${name} is set in both PostgreSQLSettings and ExtraConnectionAttributes.`);
    }
    settings[name] = value;
  }
  const plugin = settings['PluginName'];
  if (typeof plugin === 'string') {
    const name = plugin.toLowerCase().replaceAll('_', '-');
    settings['PluginName'] = oneOf('PluginName', name, ['no-preference', 'test-decoding', 'pglogical']);
  }
  return settings;
}

/** `heartbeatEnable=true;pluginName=test_decoding`. A value goes up to the next semicolon. */
function parseExtra(text: string): Record<string, unknown> {
  const read: Record<string, unknown> = {};
  for (const part of text.split(';')) {
    if (part.trim() === '') continue;
    const at = part.indexOf('=');
    const key = part.slice(0, Math.max(at, 0)).trim();
    const name = Object.keys(ATTRIBUTES).find((known) => known.toLowerCase() === key.toLowerCase());
    if (name === undefined) {
      throw invalidValue(`Extra connection attribute '${part.trim()}' is not valid for the engine postgres.`);
    }
    read[name] = typed(name, part.slice(at + 1).trim());
  }
  return read;
}

function typed(name: string, text: string): unknown {
  const type = ATTRIBUTES[name];
  if (type === 'string') return text;
  if (type === 'boolean') {
    const lower = text.toLowerCase();
    if (['true', 'y', '1'].includes(lower)) return true;
    if (['false', 'n', '0'].includes(lower)) return false;
  } else if (/^\d+$/.test(text)) return Number(text);
  throw invalidValue(`Extra connection attribute ${name} must be a ${String(type)}, not '${text}'.`);
}
