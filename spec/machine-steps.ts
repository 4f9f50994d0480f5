/** What is done on a restored machine, in the file's order, and how each step is proven. */
import { z } from 'zod';
import { commandName, script, shortTimeout } from './machine.ts';
import { duration } from './values.ts';

const named = { name: commandName.describe('also the id of the step') };

const verify = z
  .strictObject({
    run: script.describe('tried again until it ends with 0 and prints what is expected'),
    expect: z.string().min(1).optional().describe('a part of what it prints'),
    within: shortTimeout.prefault('1m'),
  })
  .describe('how it is known that the command did what it was for');

const commandStep = z.strictObject({
  ...named,
  type: z.literal('command'),
  run: script,
  timeout: shortTimeout.prefault('2m'),
  verify,
});

const hostNameStep = z.strictObject({
  ...named,
  type: z.literal('host-name'),
  read: script.describe('prints the host name that the application is configured with'),
  expected: z.string().min(1),
  timeout: shortTimeout.prefault('1m'),
});

const absolutePath = z
  .string()
  .regex(/^\/[^\n\0]+$/, { error: 'expected an absolute path' })
  .refine((path) => !path.split('/').includes('..'), { error: 'expected a path without ..' });

const oneLine = z.string().regex(/^[^\t\n\r\0]+$/, { error: 'expected a text of one line, without tabs' });

const replaceAddressesStep = z.strictObject({
  ...named,
  type: z.literal('replace-addresses'),
  files: z
    .array(absolutePath)
    .min(1)
    .prefault(['/etc/default/replicated', '/etc/default/replicated-operator', '/etc/sysconfig/*'])
    .describe('files, with * and ?. One that is not there is left out, but at least one has to be'),
  also: z
    .record(oneLine, oneLine)
    .prefault({})
    .describe('more that is replaced, as whole words: old: new. ${machine.privateIp}, ${machine.publicIp} are known'),
  timeout: shortTimeout.prefault('5m'),
});

/** Nothing that a machine needs to live; a typing error must not empty it. */
const removable = absolutePath
  .refine((path) => path.split('/').filter(Boolean).length >= 2, {
    error: 'expected a path of at least two levels, such as /opt/nomad',
  })
  .refine((path) => !/[*?[\]]/.test(path), { error: 'expected a path without * and ?' })
  .refine((path) => !/^\/(bin|sbin|boot|dev|lib|lib64|proc|sys|etc|usr\/(bin|sbin|lib))\//.test(`${path}/`), {
    error: 'expected a path outside of the system’s own directories',
  });

const removeStep = z.strictObject({
  ...named,
  type: z.literal('remove'),
  paths: z.array(removable).min(1).prefault(['/opt/nomad']),
  timeout: shortTimeout.prefault('10m'),
});

const httpStep = z.strictObject({
  ...named,
  type: z.literal('http'),
  url: z
    .string()
    .regex(/^https?:\/\/[^\s@/]+(\/\S*)?$/, { error: 'expected an http or https address, without a password in it' })
    .describe('asked by the worker; ${machine.privateIp} and ${machine.publicIp} are filled in'),
  expectStatus: z.int().min(100).max(599).prefault(200),
  expectBody: z.string().min(1).optional().describe('a part of the body; addresses are filled in'),
  timeout: duration({ min: '1s', max: '1h' }).prefault('5m').describe('tried again until then'),
});

const objectStorageStep = z
  .strictObject({
    ...named,
    type: z.literal('object-storage'),
    paths: z.array(absolutePath).prefault([]).describe('directories that hold objects, where they are on the machine'),
    detect: script.optional().describe('prints a line for each place of objects: local <path>, or s3 <bucket>'),
    timeout: shortTimeout.prefault('2m'),
  })
  .refine((s) => s.paths.length > 0 || s.detect !== undefined, { error: 'expected paths or detect' });

const cleanUpStep = z
  .strictObject({
    ...named,
    type: z.literal('clean-up'),
    title: z.string().min(1).prefault('Clean up what the backup caught in the middle'),
    list: z.array(z.string().min(1).max(1000)).prefault([]).describe('what is cleaned up, such as the URLs of builds'),
    listCommand: script.optional().describe('prints one a line, on the machine'),
    each: script.describe('run for each of them, which it finds in $ITEM'),
    verify: script.optional().describe('ends with 0 where $ITEM is clean'),
    gate: z.enum(['manual', 'auto']).prefault('manual'),
    timeout: shortTimeout.prefault('2m').describe('for each'),
  })
  .refine((s) => s.list.length > 0 || s.listCommand !== undefined, { error: 'expected list or listCommand' });

export const machineStep = z.discriminatedUnion(
  'type',
  [commandStep, hostNameStep, replaceAddressesStep, removeStep, httpStep, objectStorageStep, cleanUpStep],
  {
    error: 'expected a step with type: command, host-name, replace-addresses, remove, http, object-storage or clean-up',
  },
);
export type MachineStep = z.output<typeof machineStep>;
export type StepOf<T extends MachineStep['type']> = Extract<MachineStep, { type: T }>;

/** Addresses as they are known after the launch, filled into a file's text. */
export function fillMachine(text: string, machine: { privateIp: string; publicIp?: string | undefined }): string {
  return text
    .replaceAll('${machine.privateIp}', machine.privateIp)
    .replaceAll('${machine.publicIp}', machine.publicIp ?? '');
}
