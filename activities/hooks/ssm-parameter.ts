/** An SSM parameter that applications read their endpoint from. SSM itself keeps the old values, by version number. */
import {
  DeleteParameterCommand,
  DescribeParametersCommand,
  GetParameterCommand,
  PutParameterCommand,
  type Parameter,
} from '@aws-sdk/client-ssm';
import type { z } from 'zod';
import { ErrorType } from '../../spec/errors.ts';
import type { ssmParameterHook } from '../../spec/hooks.ts';
import { ssm } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { rememberSecret } from '../secrets/redact.ts';
import { fillIn, type HookContext } from './hook-context.ts';

type SsmHook = z.output<typeof ssmParameterHook>;

/** A number, never the value: the old value may be secret, and this is kept in history. 0: there was no parameter. */
export interface SsmUndo {
  type: 'ssm-parameter';
  version: number;
}

/** What an undo would have to go back to. @throws cutover.Denied, cutover.Throttled, cutover.Unreachable */
export async function captureParameter(hook: SsmHook, context: HookContext): Promise<SsmUndo> {
  const now = await read(hook.parameter, context);
  return { type: 'ssm-parameter', version: now?.Version ?? 0 };
}

/** Writes the value, unless it is there already. @throws as captureParameter; cutover.Invalid */
export async function runParameter(hook: SsmHook, context: HookContext): Promise<void> {
  await write(hook.parameter, fillIn(hook.value, context), await read(hook.parameter, context), context);
}

/**
 * Writes the old value back, or deletes the parameter where there was none. Safe to run twice.
 * @throws cutover.Hook where the parameter holds neither our value nor the old one: somebody else has changed it since
 */
export async function undoParameter(hook: SsmHook, undo: SsmUndo, context: HookContext): Promise<void> {
  const name = hook.parameter;
  const ours = fillIn(hook.value, context);
  const now = await read(name, context);
  if (undo.version === 0) {
    if (!now) return;
    if (now.Value !== ours) throw changedByOthers(name, now);
    return await remove(name, context);
  }
  const old = await read(`${name}:${undo.version}`, context);
  if (old?.Value === undefined) {
    throw permanent(ErrorType.hook, `version ${undo.version} of ${name} is not there any more`, {
      remedy: `SSM keeps 100 versions; put the former value back by hand: aws ssm put-parameter --overwrite --name ${name}`,
    });
  }
  if (now?.Value === old.Value) return;
  // An error of SSM's may quote what it was given. (Our own value is in the file, and no secret.)
  if (old.Type === 'SecureString') rememberSecret(old.Value);
  if (now && now.Value !== ours) throw changedByOthers(name, now);
  await write(name, old.Value, now ?? old, context);
}

async function read(name: string, { aws, signal }: HookContext): Promise<Parameter | undefined> {
  try {
    const command = new GetParameterCommand({ Name: name, WithDecryption: true });
    return (await ssm(aws).send(command, { abortSignal: signal })).Parameter;
  } catch (error) {
    if (isCode(error, 'ParameterNotFound') || isCode(error, 'ParameterVersionNotFound')) return undefined;
    throw awsFailure(error, `GetParameter ${name}`);
  }
}

async function write(name: string, value: string, now: Parameter | undefined, context: HookContext): Promise<void> {
  if (now?.Value === value) return;
  // Without its key, an overwritten SecureString would be encrypted by the account's default one.
  const keyId = now?.Type === 'SecureString' ? await keyOf(name, context) : undefined;
  try {
    const command = new PutParameterCommand({
      Name: name,
      Value: value,
      Type: now?.Type ?? 'String',
      Overwrite: true,
      ...(keyId === undefined ? {} : { KeyId: keyId }),
    });
    await ssm(context.aws).send(command, { abortSignal: context.signal });
  } catch (error) {
    throw awsFailure(error, `PutParameter ${name}`);
  }
}

async function keyOf(name: string, { aws, signal }: HookContext): Promise<string | undefined> {
  try {
    const command = new DescribeParametersCommand({
      ParameterFilters: [{ Key: 'Name', Option: 'Equals', Values: [name] }],
    });
    const { Parameters } = await ssm(aws).send(command, { abortSignal: signal });
    return Parameters?.find((parameter) => parameter.Name === name)?.KeyId;
  } catch (error) {
    throw awsFailure(error, `DescribeParameters ${name}`);
  }
}

async function remove(name: string, { aws, signal }: HookContext): Promise<void> {
  try {
    await ssm(aws).send(new DeleteParameterCommand({ Name: name }), { abortSignal: signal });
  } catch (error) {
    if (!isCode(error, 'ParameterNotFound')) throw awsFailure(error, `DeleteParameter ${name}`);
  }
}

function changedByOthers(name: string, now: Parameter): Error {
  return permanent(
    ErrorType.hook,
    `${name} was changed by somebody else since (version ${now.Version}); it is left as it is`,
    {
      remedy: `decide which value is right: aws ssm get-parameter-history --name ${name}`,
    },
  );
}
