import { z } from 'zod';
import { AwsFault } from '../faults.ts';

const token = { NextToken: z.string().optional() };
const pairs = z.array(z.strictObject({ key: z.string(), value: z.string() })).optional();
const commandId = z.string().min(36).max(36);
const instanceId = z.string();

/** Members and bounds as in AWS's service model. */
export const INPUTS = {
  SendCommand: z.strictObject({
    DocumentName: z.string(),
    DocumentVersion: z.string().optional(),
    InstanceIds: z.array(instanceId).max(50).optional(),
    Targets: z.array(z.unknown()).max(5).optional(),
    Parameters: z.record(z.string(), z.array(z.string())).default({}),
    Comment: z.string().max(100).default(''),
    TimeoutSeconds: z.int().min(30).max(2_592_000).default(3_600),
    OutputS3Region: z.string().min(3).max(20).optional(),
    OutputS3BucketName: z.string().min(3).max(63).optional(),
    OutputS3KeyPrefix: z.string().max(500).optional(),
    MaxConcurrency: z.string().optional(),
    MaxErrors: z.string().optional(),
    ServiceRoleArn: z.string().optional(),
    CloudWatchOutputConfig: z
      .strictObject({
        CloudWatchLogGroupName: z.string().max(512).optional(),
        CloudWatchOutputEnabled: z.boolean().optional(),
      })
      .optional(),
  }),
  GetCommandInvocation: z.strictObject({
    CommandId: commandId,
    InstanceId: instanceId,
    PluginName: z.string().optional(),
  }),
  ListCommands: z.strictObject({
    CommandId: commandId.optional(),
    InstanceId: instanceId.optional(),
    MaxResults: z.int().min(1).max(50).optional(),
    Filters: pairs,
    ...token,
  }),
  ListCommandInvocations: z.strictObject({
    CommandId: commandId.optional(),
    InstanceId: instanceId.optional(),
    MaxResults: z.int().min(1).max(50).optional(),
    Filters: pairs,
    Details: z.boolean().default(false),
    ...token,
  }),
  CancelCommand: z.strictObject({ CommandId: commandId, InstanceIds: z.array(instanceId).max(50).optional() }),
  DescribeInstanceInformation: z.strictObject({
    InstanceInformationFilterList: z
      .array(z.strictObject({ key: z.string(), valueSet: z.array(z.string()) }))
      .optional(),
    Filters: z.array(z.strictObject({ Key: z.string(), Values: z.array(z.string()) })).optional(),
    MaxResults: z.int().min(5).max(50).optional(),
    ...token,
  }),
} as const;

export type Input<K extends keyof typeof INPUTS> = z.output<(typeof INPUTS)[K]>;

/** @throws AwsFault SerializationException, ValidationException naming the member */
export function readInput<K extends keyof typeof INPUTS>(action: K, text: string): Input<K> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text === '' ? '{}' : text);
  } catch {
    throw new AwsFault('SerializationException', 'The request body is not valid JSON.');
  }
  const read = INPUTS[action].safeParse(parsed);
  if (read.success) return read.data as Input<K>;
  const { issues } = read.error;
  const said = issues.map(({ path, message }) => {
    const at = path.join('.');
    return `Value at '${at.charAt(0).toLowerCase()}${at.slice(1)}' failed to satisfy constraint: ${message}`;
  });
  throw new AwsFault(
    'ValidationException',
    `${issues.length} validation error${issues.length === 1 ? '' : 's'} detected: ${said.join('; ')}`,
  );
}
