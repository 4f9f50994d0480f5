import type { CreateEndpointMessage, ModifyEndpointMessage } from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { invalidCombination, invalidValue } from './faults.ts';
import type { EndpointState, SslMode } from './state.ts';
import { checkArn, inRange, oneOf } from './validation.ts';

/** @throws AwsFault InvalidParameterValueException: DMS knows many engines, the sandbox one. */
export function checkEngine(name: string): string {
  return oneOf('EngineName', name.toLowerCase(), ['postgres']);
}

type EndpointInput = Partial<CreateEndpointMessage> & Partial<ModifyEndpointMessage>;

/** @throws AwsFault InvalidParameterCombinationException for another engine's settings. */
export function checkOtherEngines(input: EndpointInput): void {
  const wrong = Object.keys(input).find(
    (name) => name.endsWith('Settings') && !/^(PostgreSQL|Exact)Settings$/.test(name),
  );
  if (wrong !== undefined) throw invalidCombination(`${wrong} cannot be given for an endpoint of the engine postgres.`);
}

export interface Address {
  host?: string | undefined;
  port?: number | undefined;
  database?: string | undefined;
  user?: string | undefined;
  password?: string | undefined;
}

/** Address and login, which may be given beside PostgreSQLSettings or in it. @throws AwsFault when both differ. */
export function addressOf(input: EndpointInput): Address {
  const inner = input.PostgreSQLSettings ?? {};
  const port = either('Port', input.Port, inner.Port);
  return {
    host: either('ServerName', input.ServerName, inner.ServerName),
    port: port === undefined ? undefined : inRange('Port', port, 1, 65_535),
    database: either('DatabaseName', input.DatabaseName, inner.DatabaseName),
    user: either('Username', input.Username, inner.Username),
    password: either('Password', input.Password, inner.Password),
  };
}

function either<T>(name: string, outer: T | undefined, inner: T | undefined): T | undefined {
  if (outer !== undefined && inner !== undefined && outer !== inner) {
    throw invalidCombination(`${name} is given twice, and not the same: as a parameter and in PostgreSQLSettings.`);
  }
  return outer ?? inner;
}

/** @throws AwsFault when a mode that checks the server's certificate has none to check it by. */
export function checkSsl(
  cloud: Cloud,
  given: string,
  certificateArn: string | undefined,
): Pick<EndpointState, 'sslMode' | 'certificateArn'> {
  const sslMode: SslMode = oneOf('SslMode', given, ['none', 'require', 'verify-ca', 'verify-full']);
  const verifies = sslMode === 'verify-ca' || sslMode === 'verify-full';
  if (certificateArn === undefined) {
    if (verifies) throw invalidCombination(`CertificateArn must be provided when SslMode is ${sslMode}.`);
    return { sslMode };
  }
  if (sslMode === 'none') throw invalidValue('CertificateArn cannot be provided when SslMode is none.');
  checkArn('CertificateArn', certificateArn, `arn:aws:dms:${cloud.region}:${cloud.account}:cert:`);
  return { sslMode, certificateArn };
}
