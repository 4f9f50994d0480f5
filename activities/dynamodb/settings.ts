/**
 * The settings of an export that the file leaves to the SSM Parameter Store. They are no secrets: they are shown. But a
 * SecureString that is no good setting may be a password that the file names by mistake: of those no error shows the value.
 */
import { GetParameterCommand } from '@aws-sdk/client-ssm';
import { BUCKET, isTable, type Setting } from '../../spec/dynamodb.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { DynamoDbExport, ExportTimeParameters } from '../../spec/kind-dynamodb-export.ts';
import { ssm, type AwsTarget } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { askedTime, HIDDEN, type AskedTime, type GivenTime } from './export-time.ts';

export interface ExportSettings {
  /** Names or ARNs, each once. */
  tables: string[];
  bucket: string;
  /** The point in time that is asked for; absent with an incremental export. */
  asked: AskedTime;
  /** In which the prefix is dated. */
  prefixZone: string;
}

/**
 * The file's settings with those of SSM put in.
 * @param args.now ISO: what `today` is counted from; for a schedule's run the time that it was due, for one that was
 *   started by hand its start.
 * @param args.due True for a schedule's run: its `now` is the time that it was due, which a late run still can reach.
 * @throws cutover.Invalid naming the parameter and its value, cutover.NotFound for one that is not there, cutover.Denied;
 *   the passing ones
 */
export async function resolveExportSettings(args: {
  migration: DynamoDbExport;
  now: string;
  due?: boolean;
}): Promise<ExportSettings> {
  const { migration, now, due = false } = args;
  const { aws } = migration;
  const tables = await tablesOf(migration, aws);
  const { value: bucket, secure } = await settingOf(migration.bucket, aws);
  if (!BUCKET.test(bucket))
    throw wrong('bucket', migration.bucket, secure ? undefined : bucket, 'not the name of an S3 bucket');
  const asked = await askedOf(migration, now, due);
  return { tables, bucket, asked, prefixZone: migration.prefixTimeZone ?? asked.zone };
}

async function askedOf(migration: DynamoDbExport, now: string, due: boolean): Promise<AskedTime> {
  const { at, aws } = migration;
  if (at === 'now') return { ...askedTime('now', now), ...(due ? { at: now } : {}) };
  if (typeof at === 'string') return askedTime(at, now);
  return askedTime(await givenTime(at, aws), now);
}

async function givenTime(at: ExportTimeParameters, aws: AwsTarget): Promise<GivenTime> {
  const hidden: string[] = [];
  const read = async <T extends string | number>(name: string, given: Setting<T>) => {
    const { value, secure } = await settingOf(given, aws);
    if (secure) hidden.push(name);
    return value;
  };
  return {
    day: await read('day', at.day),
    hour: await read('hour', at.hour),
    minute: await read('minute', at.minute),
    second: await read('second', at.second),
    timeZone: (await read('timeZone', at.timeZone)).trim(),
    hidden,
  };
}

async function tablesOf({ tables }: DynamoDbExport, aws: AwsTarget): Promise<string[]> {
  const named: string[] = [];
  for (const given of Array.isArray(tables) ? tables : [tables]) {
    const { value, secure } = await settingOf(given, aws);
    const parts = value
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
    const bad = parts.find((part) => !isTable(part));
    if (bad !== undefined) throw wrong('tables', given, secure ? undefined : bad, "not a table's name or ARN");
    if (parts.length === 0) throw wrong('tables', given, secure ? undefined : value, 'it names no table');
    named.push(...parts);
  }
  return [...new Set(named)];
}

/** The value itself, or what the parameter holds. A SecureString is decrypted: it is read as any other, but `secure`. */
async function settingOf<T extends string | number>(
  given: Setting<T>,
  aws: AwsTarget,
): Promise<{ value: T | string; secure: boolean }> {
  if (typeof given !== 'object') return { value: given, secure: false };
  try {
    const answer = await ssm(aws).send(new GetParameterCommand({ Name: given.ssm, WithDecryption: true }));
    const { Value: value, Type: type } = answer.Parameter ?? {};
    if (value !== undefined) return { value, secure: type === 'SecureString' };
  } catch (error) {
    if (!isCode(error, 'ParameterNotFound')) throw awsFailure(error, `reading the setting { ssm: ${given.ssm} }`);
  }
  throw permanent(ErrorType.notFound, `there is no SSM parameter ${given.ssm}, which the file names`, {
    remedy: `make it (aws ssm put-parameter --name ${given.ssm} --type String --value …), or correct the file`,
  });
}

/** @param value undefined: not to be shown */
function wrong(field: string, given: Setting<string>, value: string | undefined, why: string): Error {
  const where = typeof given === 'object' ? ` (of the SSM parameter ${given.ssm})` : '';
  return permanent(
    ErrorType.invalid,
    `${field}: ${value === undefined ? HIDDEN : JSON.stringify(value)}${where} is ${why}`,
    {
      remedy: 'correct the file, or the parameter that it names',
    },
  );
}
