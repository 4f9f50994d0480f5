/** Secrets: found where the file says, named in every error, shown in none. SSM and Secrets Manager are moto's. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager';
import { PutParameterCommand } from '@aws-sdk/client-ssm';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { closeAwsClients, secretsManager, ssm } from '../activities/aws/clients.ts';
import { redact, redactDeep } from '../activities/secrets/redact.ts';
import { resolveSecret } from '../activities/secrets/resolve.ts';
import { startMoto, type MotoServer } from '../sandbox/runtime/moto.ts';
import type { SecretRef } from '../spec/values.ts';

const dir = mkdtempSync(join(tmpdir(), 'cutover-secrets-'));
let moto: MotoServer;

const file = (name: string, text: string) => {
  writeFileSync(join(dir, name), text);
  return { file: join(dir, name) };
};

beforeAll(async () => {
  moto = await startMoto({ dir: join(dir, 'moto') });
  vi.stubEnv('AWS_ENDPOINT_URL', moto.url);
  vi.stubEnv('AWS_REGION', 'ap-northeast-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
  vi.stubEnv('CUTOVER_TEST_SECRET', 'hunter2-env');
  vi.stubEnv('CUTOVER_TEST_EMPTY', '');
  await ssm().send(new PutParameterCommand({ Name: '/db/password', Value: 'hunter2-ssm', Type: 'SecureString' }));
  const json = JSON.stringify({
    host: 'db.internal',
    password: 'hunter2-json',
    other_token: 'tok-123456',
    port: 6379,
    nested: {},
  });
  await secretsManager().send(new CreateSecretCommand({ Name: 'orders/redis', SecretString: json }));
  await secretsManager().send(new CreateSecretCommand({ Name: 'plain', SecretString: 'hunter2-plain' }));
  await secretsManager().send(new CreateSecretCommand({ Name: 'binary', SecretBinary: Buffer.from('hunter2-bin') }));
}, 180_000);
afterAll(async () => {
  vi.unstubAllEnvs();
  closeAwsClients();
  await moto?.kill();
  rmSync(dir, { recursive: true, force: true });
});

describe('found', () => {
  test.each<[string, () => SecretRef, string]>([
    ['env', () => ({ env: 'CUTOVER_TEST_SECRET' }), 'hunter2-env'],
    ['a file, without its last newline', () => file('a', 'hunter2-file\n'), 'hunter2-file'],
    ['a file with the newline of Windows', () => file('b', 'hunter2-crlf\r\n'), 'hunter2-crlf'],
    ['a file, of whose newlines only the last is dropped', () => file('c', 'two\nlines\n\n'), 'two\nlines\n'],
    ['ssm, decrypted', () => ({ ssm: '/db/password' }), 'hunter2-ssm'],
    ['secretsManager', () => ({ secretsManager: 'plain' }), 'hunter2-plain'],
    ['secretsManager, binary', () => ({ secretsManager: 'binary' }), 'hunter2-bin'],
    ['secretsManager, a key', () => ({ secretsManager: 'orders/redis', key: 'password' }), 'hunter2-json'],
    ['secretsManager, a number', () => ({ secretsManager: 'orders/redis', key: 'port' }), '6379'],
  ])('%s', async (_what, ref, value) => {
    expect(await resolveSecret(ref())).toBe(value);
  });

  test('in the region that the file names', async () => {
    await expect(resolveSecret({ ssm: '/db/password' }, { region: 'us-east-1' })).rejects.toThrow('ParameterNotFound');
    expect(await resolveSecret({ ssm: '/db/password' }, { region: 'ap-northeast-1' })).toBe('hunter2-ssm');
    expect(await resolveSecret({ ssm: '/db/password', region: 'ap-northeast-1' }, { region: 'us-east-1' })).toBe(
      'hunter2-ssm',
    );
  });
});

describe('not found: the error names the reference and never the value', () => {
  test.each<[string, () => SecretRef, RegExp]>([
    ['env, not set', () => ({ env: 'NOT_THERE' }), /\{ env: NOT_THERE \} can't be read: the variable is not set/],
    ['env, empty', () => ({ env: 'CUTOVER_TEST_EMPTY' }), /the variable is empty/],
    ['file, missing', () => ({ file: join(dir, 'nope') }), /nope \} can't be read: .*ENOENT/],
    ['file, empty', () => file('empty', '\n'), /the file is empty/],
    ['ssm', () => ({ ssm: '/nope' }), /\{ ssm: \/nope \} can't be read: ParameterNotFound/],
    [
      'secretsManager',
      () => ({ secretsManager: 'nope' }),
      /\{ secretsManager: nope \} can't be read: ResourceNotFoundException/,
    ],
    [
      'a key of what is no JSON',
      () => ({ secretsManager: 'plain', key: 'a' }),
      /plain, key: a \} can't be read: the secret is not JSON/,
    ],
    ['a key that is not there', () => ({ secretsManager: 'orders/redis', key: 'pass' }), /no such key/],
    ['a key of every object', () => ({ secretsManager: 'orders/redis', key: 'constructor' }), /no such key/],
    ['a key that is no text', () => ({ secretsManager: 'orders/redis', key: 'nested' }), /not a text/],
  ])('%s', async (_what, ref, message) => {
    const failure: unknown = await resolveSecret(ref()).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      type: 'cutover.Secret',
      nonRetryable: true,
      message: expect.stringMatching(message),
    });
    expect(JSON.stringify(failure)).not.toMatch(/hunter2/);
  });

  test('a service that can not be reached is tried again', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL_SSM', 'http://127.0.0.1:1');
    try {
      const failure: unknown = await resolveSecret({ ssm: '/db/password' }).catch((error: unknown) => error);
      expect(failure).toMatchObject({ type: 'cutover.Unreachable', nonRetryable: false });
    } finally {
      vi.stubEnv('AWS_ENDPOINT_URL_SSM', undefined);
    }
  });
});

describe('redact', () => {
  test('hides what was resolved, in all the forms it travels in', async () => {
    vi.stubEnv('CUTOVER_TEST_ODD', 'p@ss/"wörd" 1');
    const odd = await resolveSecret({ env: 'CUTOVER_TEST_ODD' });
    expect(redact(`as it is: ${odd}`)).toBe('as it is: [secret]');
    expect(redact(`redis://:${encodeURIComponent(odd)}@h`)).toBe('redis://:[secret]@h');
    expect(redact(JSON.stringify({ password: odd }))).toBe('{"password":"[secret]"}');
    expect(redact(`Basic ${Buffer.from(odd).toString('base64')}`)).toBe('Basic [secret]');
  });
  test('hides the other secrets of a JSON secret too, and leaves its host', async () => {
    await resolveSecret({ secretsManager: 'orders/redis', key: 'password' });
    expect(redact('hunter2-json tok-123456 db.internal')).toBe('[secret] [secret] db.internal');
  });
  test('a secret inside a longer one leaves no rest', async () => {
    vi.stubEnv('CUTOVER_TEST_SHORT', 'sesame');
    vi.stubEnv('CUTOVER_TEST_LONG', 'open-sesame-now');
    await resolveSecret({ env: 'CUTOVER_TEST_SHORT' });
    await resolveSecret({ env: 'CUTOVER_TEST_LONG' });
    expect(redact('a open-sesame-now b sesame c')).toBe('a [secret] b [secret] c');
  });
  test('fewer than 4 characters are no secret, and hide nothing', async () => {
    vi.stubEnv('CUTOVER_TEST_TINY', 'db1');
    expect(await resolveSecret({ env: 'CUTOVER_TEST_TINY' })).toBe('db1');
    expect(redact('db1 is up')).toBe('db1 is up');
  });
  test('reaches into values, and leaves the original alone', async () => {
    await resolveSecret({ env: 'CUTOVER_TEST_SECRET' });
    const value = { a: ['x hunter2-env', 1, null, { 'k-hunter2-env': true }], d: new Date(0) };
    expect(redactDeep(value)).toEqual({ a: ['x [secret]', 1, null, { 'k-[secret]': true }], d: new Date(0) });
    expect(value.a[0]).toBe('x hunter2-env');
  });
});
