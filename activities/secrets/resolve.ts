/** Looks a secret up where the file says it is. Its value never leaves the activity that asked for it. */
import { readFile } from 'node:fs/promises';
import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { GetParameterCommand } from '@aws-sdk/client-ssm';
import type { ApplicationFailure } from '@temporalio/common';
import { z } from 'zod';
import { ErrorType } from '../../spec/errors.ts';
import type { SecretRef } from '../../spec/values.ts';
import { secretsManager, ssm, type AwsTarget } from '../aws/clients.ts';
import { awsCode, awsFailure, describeAwsError, howToRetry } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { rememberSecret } from './redact.ts';

const jsonObject = z.record(z.string(), z.unknown());

/**
 * The secret's value. From here on `redact` hides it in everything this process says.
 * @throws cutover.Secret, naming the reference and never the value; cutover.Throttled or cutover.Unreachable (retried)
 *   where AWS could not be asked.
 */
export async function resolveSecret(ref: SecretRef, aws: AwsTarget = {}): Promise<string> {
  const value = await lookUp(ref, aws);
  rememberSecret(value);
  return value;
}

/** The reference as an operator finds it in the file. */
function secretName(ref: SecretRef): string {
  if ('env' in ref) return `{ env: ${ref.env} }`;
  if ('file' in ref) return `{ file: ${ref.file} }`;
  if ('ssm' in ref) return `{ ssm: ${ref.ssm} }`;
  return `{ secretsManager: ${ref.secretsManager}${ref.key === undefined ? '' : `, key: ${ref.key}`} }`;
}

async function lookUp(ref: SecretRef, aws: AwsTarget): Promise<string> {
  if ('env' in ref) {
    const value = process.env[ref.env];
    // An empty password is always a forgotten one, and Redis would take it for none at all.
    if (!value) {
      throw unreadable(ref, `the variable is ${value === '' ? 'empty' : 'not set'} in the worker's environment`, {
        remedy: `start the worker with ${ref.env} set`,
      });
    }
    return value;
  }
  if ('file' in ref) return await fromFile(ref);
  if ('ssm' in ref) return await fromParameterStore(ref, aws);
  return await fromSecretsManager(ref, aws);
}

/** A secret may be in another region than what it opens. */
function regionOf(ref: { region?: string | undefined }, aws: AwsTarget): AwsTarget {
  return ref.region === undefined ? aws : { region: ref.region };
}

async function fromFile(ref: { file: string }): Promise<string> {
  let text: string;
  try {
    text = await readFile(ref.file, 'utf8');
  } catch (error) {
    // The error of readFile holds the path and the code, never what is in the file.
    throw unreadable(ref, `the file can't be read: ${awsCode(error)}`, {
      remedy: `put the secret at ${ref.file} on the worker, readable by its user`,
    });
  }
  const value = text.replace(/\r?\n$/, '');
  if (value === '') throw unreadable(ref, 'the file is empty');
  return value;
}

async function fromParameterStore(ref: Extract<SecretRef, { ssm: string }>, aws: AwsTarget): Promise<string> {
  let value: string | undefined;
  try {
    const answer = await ssm(regionOf(ref, aws)).send(new GetParameterCommand({ Name: ref.ssm, WithDecryption: true }));
    value = answer.Parameter?.Value;
  } catch (error) {
    throw fromAws(ref, error, 'ssm:GetParameter (and kms:Decrypt on its key)');
  }
  if (!value) throw unreadable(ref, 'the parameter has no value');
  return value;
}

async function fromSecretsManager(
  ref: Extract<SecretRef, { secretsManager: string }>,
  aws: AwsTarget,
): Promise<string> {
  let text: string | undefined;
  try {
    const answer = await secretsManager(regionOf(ref, aws)).send(
      new GetSecretValueCommand({ SecretId: ref.secretsManager }),
    );
    text = answer.SecretString ?? (answer.SecretBinary && Buffer.from(answer.SecretBinary).toString('utf8'));
  } catch (error) {
    throw fromAws(ref, error, 'secretsmanager:GetSecretValue (and kms:Decrypt on its key)');
  }
  if (!text) throw unreadable(ref, 'the secret has no value');
  if (ref.key === undefined) return text;
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which is the secret.
    throw unreadable(ref, 'the secret is not JSON, so it has no keys', {
      remedy: 'leave `key` out to use it as a whole',
    });
  }
  // A Map, so that a key named `constructor` finds nothing.
  const entries = new Map(Object.entries(jsonObject.safeParse(fields).data ?? {}));
  // Even what is not asked for is secret, and may be quoted by whoever is given the rest.
  rememberFields(entries);
  const value = entries.get(ref.key);
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'string' || value === '') {
    throw unreadable(ref, value === undefined ? 'the secret has no such key' : `the key's value is not a text`);
  }
  return value;
}

// host, port, engine and the like stand beside the password in an RDS-style secret and are shown everywhere.
const SECRET_FIELD = /pass|secret|token|api_?key|private_?key/i;

function rememberFields(entries: Map<string, unknown>): void {
  for (const [key, value] of entries) if (typeof value === 'string' && SECRET_FIELD.test(key)) rememberSecret(value);
}

function fromAws(ref: SecretRef, error: unknown, permission: string): Error {
  const kind = howToRetry(error);
  if (kind !== 'never') return awsFailure(error, `reading the secret ${secretName(ref)}`);
  return unreadable(ref, describeAwsError(error), {
    remedy: `does it exist in this region, and may the worker's role ${permission}?`,
  });
}

function unreadable(ref: SecretRef, why: string, options: { remedy?: string } = {}): ApplicationFailure {
  return permanent(ErrorType.secret, `the secret ${secretName(ref)} can't be read: ${why}`, options);
}
