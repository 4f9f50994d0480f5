/** Wrong files: each with its exact message, and no secret in any of them. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { WrongFile } from '../client/errors.ts';
import { problemText } from '../client/file-problem.ts';
import { checkMigration, LARGEST_FILE, loadMigrationFile, parseMigration } from '../client/migration-file.ts';
import { nearestName } from '../client/nearest-name.ts';

/** As the schema says them, in its order. */
const KINDS = [
  'redis-online',
  'redis-offline',
  'redis-dual-write',
  'postgres',
  'elasticache-backup',
  'elasticache-restore',
  'elasticache-retire',
  'dynamodb-export',
  'dynamodb-restore',
  'machine-backup',
  'machine-restore',
];

const GOOD = `kind: redis-online
id: shop
engine: replicaof
source:
  host: 10.0.0.5
  password: { env: SOURCE_PASSWORD }
target:
  host: 10.0.0.6
`;

const SECRET =
  'the name of a secret, never the secret itself: { env: NAME }, { file: /path }, { ssm: /parameter } or { secretsManager: id }';

function edited(from: string, to: string): string {
  expect(GOOD).toContain(from);
  return GOOD.replace(from, () => to);
}
const withMore = (text: string) => GOOD + text;

/** Every problem of `text` as it is shown, without the file's name. */
function problemsOf(text: string): string[] {
  try {
    parseMigration(text, 'm.yaml');
  } catch (error) {
    if (!(error instanceof WrongFile)) throw error;
    return error.problems.map((problem) => problemText(problem).replace(/^m\.yaml:/, ''));
  }
  return [];
}

const WRONG: [what: string, text: string, problems: string[]][] = [
  ['empty', '', ['1:1: the file is empty; see examples/, or begin with kind: redis-online']],
  [
    'comments only',
    '# a plan for later\n',
    ['1:1: the file is empty; see examples/, or begin with kind: redis-online'],
  ],
  [
    'a list',
    '- kind: redis-online\n',
    ['1:1: the file is a list, expected a mapping that begins with kind: redis-online'],
  ],
  [
    'a single value',
    'redis-online\n',
    ['1:1: the file is a single value, expected a mapping that begins with kind: redis-online'],
  ],
  ['binary', 'kind\0: redis-online\n', ['1:1: is not text; is it the right file?']],
  ['no kind', 'id: shop\n', [`1:1: kind: missing, expected one of: ${KINDS.join(', ')}`]],
  [
    'an unknown kind',
    edited('redis-online', 'mysql'),
    [`1:7: kind: got "mysql", expected one of: ${KINDS.join(', ')}`],
  ],
  [
    'a mistyped kind',
    edited('redis-online', 'redis-onlin'),
    [`1:7: kind: got "redis-onlin", expected one of: ${KINDS.join(', ')}; did you mean \`redis-online\`?`],
  ],
  ['the name of kind mistyped', edited('kind:', 'knid:'), ['1:1: knid: unknown field; did you mean `kind`?']],
  [
    'no engine',
    edited('engine: replicaof\n', '').replace('id: shop', 'id: Shop'),
    [
      '1:1: engine: missing, expected engine: elasticache, replicaof or scan',
      '2:5: id: got "Shop", expected 1 to 40 lower-case letters, digits and hyphens, a letter first, no hyphen last',
    ],
  ],
  [
    'an unknown engine',
    edited('replicaof', 'rsync'),
    ['3:9: engine: got "rsync", expected engine: elasticache, replicaof or scan'],
  ],
  [
    'a mistyped engine',
    edited('replicaof', 'replica-of'),
    ['3:9: engine: got "replica-of", expected engine: elasticache, replicaof or scan; did you mean `replicaof`?'],
  ],
  ['engine in capitals', edited('engine', 'Engine'), ['3:1: Engine: unknown field; did you mean `engine`?']],
  [
    'no id',
    edited('id: shop\n', ''),
    [
      "1:1: id: missing, expected text (the migration's name; it is the workflow's id, and resources are named and tagged by it)",
    ],
  ],
  [
    'an id with capitals',
    edited('shop', 'Shop'),
    ['2:5: id: got "Shop", expected 1 to 40 lower-case letters, digits and hyphens, a letter first, no hyphen last'],
  ],
  [
    'an id with two hyphens',
    edited('shop', 'shop--eu'),
    ['2:5: id: got "shop--eu", expected single hyphens: AWS refuses names with two in a row'],
  ],
  ['an id that is a number', edited('shop', '42'), ['2:5: id: got 42, expected text; put it in quotes']],
  [
    'no source',
    edited('source:\n  host: 10.0.0.5\n  password: { env: SOURCE_PASSWORD }\n', ''),
    ['1:1: source: missing, expected a mapping (indented `name: value` lines)'],
  ],
  [
    'an empty source',
    edited('source:\n  host: 10.0.0.5\n  password: { env: SOURCE_PASSWORD }\n', 'source:\n'),
    ['4:1: source: got nothing, expected a mapping (indented `name: value` lines)'],
  ],
  [
    'a source without host',
    edited('  host: 10.0.0.5\n', '  port: 6379\n'),
    ['4:1: source.host: missing, expected a host name or IP address (as the worker reaches it)'],
  ],
  [
    'a URL for a host',
    edited('10.0.0.5', 'redis://admin:hunter2@10.0.0.5:6379/0'),
    ['5:9: source.host: got (not shown), expected a host name or IP address alone, not a URL'],
  ],
  [
    'host and port in one',
    edited('10.0.0.5', '10.0.0.5:6379'),
    ['5:9: source.host: got "10.0.0.5:6379", expected a host name or IP address alone; the port has its own field'],
  ],
  ['an empty host', edited('10.0.0.5', '""'), ['5:9: source.host: got "", expected a host name or IP address']],
  [
    'a port that is too high',
    edited('host: 10.0.0.6', 'host: 10.0.0.6\n  port: 70000'),
    ['9:9: target.port: got 70000, expected a port, 1 to 65535'],
  ],
  [
    'a port in quotes',
    edited('host: 10.0.0.6', 'host: 10.0.0.6\n  port: "6380"'),
    ['9:9: target.port: got "6380", expected a port, 1 to 65535; leave the quotes out'],
  ],
  [
    'a port with a fraction',
    edited('host: 10.0.0.6', 'host: 10.0.0.6\n  port: 63.79'),
    ['9:9: target.port: got 63.79, expected a port, 1 to 65535'],
  ],
  ['the source as target', edited('10.0.0.6', '10.0.0.5'), ['8:3: target: expected another server than the source']],
  ['a mistyped field', edited('target', 'taget'), ['7:1: taget: unknown field; did you mean `target`?']],
  [
    'a mistyped field below',
    edited('host: 10.0.0.6', 'hots: 10.0.0.6'),
    ['8:3: target.hots: unknown field; did you mean `host`?'],
  ],
  [
    'a field twice, one mistyped',
    withMore('tagret:\n  host: 10.0.0.7\n'),
    ['9:1: tagret: unknown field; did you mean `target`? It is there already'],
  ],
  ['a field of another section', withMore('gate: auto\n'), ['9:1: gate: unknown field; it belongs under `cutover`']],
  [
    'a field that nothing is like',
    withMore('retries: 3\n'),
    [
      '9:1: retries: unknown field; expected description, crashDetection, allowNonEmptyTarget, compare, switch, abort, soak, fixFullResyncLoop, inSync, aws or cutover',
    ],
  ],
  [
    'a password',
    edited('{ env: SOURCE_PASSWORD }', 'hunter2'),
    [`6:13: source.password: got (not shown), expected ${SECRET}`],
  ],
  [
    'a password as a key',
    edited('{ env: SOURCE_PASSWORD }', '{ hunter2 }'),
    [`6:13: source.password: got (not shown), expected ${SECRET}`],
  ],
  [
    'a password under a wrong name',
    edited('{ env: SOURCE_PASSWORD }', '{ value: hunter2 }'),
    [`6:13: source.password: got (not shown), expected ${SECRET}`],
  ],
  [
    'a secret of two kinds',
    edited('{ env: SOURCE_PASSWORD }', '{ env: A, ssm: /b }'),
    [`6:13: source.password: got (not shown), expected ${SECRET}`],
  ],
  [
    'a secret without a name',
    edited('{ env: SOURCE_PASSWORD }', '{ env: "" }'),
    ['6:20: source.password.env: got "", expected text that is not empty'],
  ],
  [
    'a password that begins with *',
    edited('{ env: SOURCE_PASSWORD }', '*hunter2'),
    ['6:13: an alias (*name) without its anchor (&name); quote the value if it begins with * or &'],
  ],
  [
    'a password that begins with !',
    edited('{ env: SOURCE_PASSWORD }', '!hunter2'),
    [
      '6:13: a tag (!name) that means nothing here; quote the value if it begins with !',
      `6:21: source.password: got "", expected ${SECRET}`,
    ],
  ],
  [
    'a password that begins with &',
    edited('{ env: SOURCE_PASSWORD }', '&hunter2'),
    [`6:3: source.password: got nothing, expected ${SECRET}`],
  ],
  [
    'a password that begins with %',
    edited('{ env: SOURCE_PASSWORD }', '%hunter2'),
    ['6:13: a value can not begin with this character; put it in quotes'],
  ],
  [
    'a password that begins with @',
    edited('{ env: SOURCE_PASSWORD }', '@hunter2'),
    ['6:13: a value can not begin with this character; put it in quotes'],
  ],
  [
    'a password that begins with a backquote',
    edited('{ env: SOURCE_PASSWORD }', '`hunter2'),
    ['6:13: a value can not begin with this character; put it in quotes'],
  ],
  [
    'a password with a colon',
    edited('{ env: SOURCE_PASSWORD }', 'hunter2: x'),
    ['6:13: a second `name: value` on one line; put the value in quotes, or the field on its own line'],
  ],
  [
    'a password in quotes that stay open',
    edited('{ env: SOURCE_PASSWORD }', '"hunter2'),
    ['9:1: a character is missing: a closing quote or bracket, a comma, or the space after `:`, `-` or before `#`'],
  ],
  [
    'a password with a backslash',
    edited('{ env: SOURCE_PASSWORD }', '"hun\\ter2\\q"'),
    ['6:22: an escape that YAML does not know in "…"; write \\\\ for a backslash, or use single quotes'],
  ],
  [
    'a password under a mistyped field',
    edited('password: { env: SOURCE_PASSWORD }', 'passwrd: hunter2'),
    [
      '6:3: source.passwrd: unknown field; did you mean `password`?',
      `6:12: source.password: got (not shown), expected ${SECRET}`,
    ],
  ],
  [
    'a token in a header',
    withMore(
      'switch:\n  - type: webhook\n    url: https://deploy.example/\n    headers: { Authorization: [Bearer hunter2] }\n',
    ),
    [`12:31: switch[0].headers.Authorization: got (not shown), expected ${SECRET}`],
  ],
  [
    'a token in a command',
    withMore('switch:\n  - type: command\n    run: curl -H "Authorization; hunter2" https://deploy.example\n'),
    ['11:10: switch[0].run: got (not shown), expected a list; write one item per word: [program, argument]'],
  ],
  [
    'a password in an address',
    withMore('switch:\n  - type: webhook\n    url: https://ci:hunter2@deploy.example/\n'),
    [
      '11:10: switch[0].url: got (not shown), expected an address without a password in it; name the secret under headers',
    ],
  ],
  [
    'a number in an environment',
    withMore('switch:\n  - type: command\n    run: [deploy]\n    env: { PIN: 1234 }\n'),
    [`12:17: switch[0].env.PIN: got (not shown), expected text, or ${SECRET}`],
  ],
  [
    'a hook without type',
    withMore('switch:\n  - run: [deploy]\n'),
    [
      '10:5: switch[0].type: missing, expected a hook with type: command, webhook, ssm-parameter, ecs-service, elb-listener or elb-deregister',
    ],
  ],
  [
    'a hook of an unknown type',
    withMore('switch:\n  - type: lambda\n'),
    [
      '10:11: switch[0].type: got "lambda", expected a hook with type: command, webhook, ssm-parameter, ecs-service, elb-listener or elb-deregister',
    ],
  ],
  [
    'a hook that is a word',
    withMore('switch:\n  - deploy\n'),
    [
      '10:5: switch[0]: got "deploy", expected a hook with type: command, webhook, ssm-parameter, ecs-service, elb-listener or elb-deregister',
    ],
  ],
  [
    'hooks that are no list',
    withMore('switch:\n  type: command\n  run: [deploy]\n'),
    ['10:3: switch: got a mapping, expected a list'],
  ],
  [
    'a command without program',
    withMore('switch:\n  - type: command\n    run: []\n'),
    ['11:10: switch[0].run: got an empty list, expected a list of at least one'],
  ],
  [
    'a command in one word',
    withMore('switch:\n  - type: command\n    run: deploy --now\n'),
    ['11:10: switch[0].run: got "deploy --now", expected a list; write one item per word: [program, argument]'],
  ],
  [
    'an address that is none',
    withMore('switch:\n  - type: webhook\n    url: deploy.example\n'),
    ['11:10: switch[0].url: got "deploy.example", expected an http or https address'],
  ],
  [
    'a duration without unit',
    withMore('soak: 10\n'),
    ['9:7: soak: got 10, expected a duration such as 500ms, 30s, 10m, 2h or 7d; a number needs its unit: 10s'],
  ],
  [
    'a duration of an unknown unit',
    withMore('soak: 2 weeks\n'),
    ['9:7: soak: got "2 weeks", expected a duration such as 500ms, 30s, 10m, 2h or 7d'],
  ],
  [
    'a duration that is too short',
    withMore('crashDetection: 1s\n'),
    ['9:17: crashDetection: got "1s", expected at least 2s and at most 10m'],
  ],
  [
    'a duration that is too long',
    withMore('inSync: { interval: 2h }\n'),
    ['9:21: inSync.interval: got "2h", expected at least 50ms and at most 1h'],
  ],
  [
    'yes for true',
    withMore('allowNonEmptyTarget: yes\n'),
    ['9:22: allowNonEmptyTarget: got "yes", expected true or false; write true'],
  ],
  [
    'a ratio above 1',
    withMore('compare: { mode: sample, sampleRatio: 5 }\n'),
    ['9:39: compare.sampleRatio: got 5, expected at most 1'],
  ],
  [
    'a mode that is near',
    withMore('compare: { mode: samples }\n'),
    ['9:18: compare.mode: got "samples", expected full, sample or off; did you mean `sample`?'],
  ],
  [
    'a gate that is none',
    withMore('cutover: { gate: automatic }\n'),
    ['9:18: cutover.gate: got "automatic", expected manual, auto, or a window { from, to }'],
  ],
  [
    'a window without end',
    withMore('cutover:\n  gate: { from: 2026-11-21T02:00:00+09:00 }\n'),
    ['10:3: cutover.gate.to: missing, expected a date and time with offset, 2026-11-21T04:00:00+09:00'],
  ],
  [
    'a window without offset',
    withMore('cutover:\n  gate: { from: "2026-11-21T02:00:00", to: 2026-11-21T04:00:00+09:00 }\n'),
    [
      '10:17: cutover.gate.from: got "2026-11-21T02:00:00", expected a date and time with offset, 2026-11-21T02:00:00+09:00',
      '10:44: cutover.gate.to: got "2026-11-21T04:00:00+09:00", expected a time after `from`',
    ],
  ],
  [
    'a window that ends before it begins',
    withMore('cutover:\n  gate: { from: 2026-11-21T04:00:00+09:00, to: 2026-11-21T02:00:00+09:00 }\n'),
    ['10:48: cutover.gate.to: got "2026-11-21T02:00:00+09:00", expected a time after `from`'],
  ],
  [
    'a region that is none',
    withMore('aws: { region: tokyo }\n'),
    ['9:16: aws.region: got "tokyo", expected a region such as ap-northeast-1'],
  ],
  [
    'tls that is a word',
    edited('host: 10.0.0.6', 'host: 10.0.0.6\n  tls: verify-full'),
    ['9:8: target.tls: got "verify-full", expected true, false or a mapping { ca, serverName }'],
  ],
  [
    'tls with an unknown field',
    edited('host: 10.0.0.6', 'host: 10.0.0.6\n  tls: { cert: /x.pem }'),
    ['9:10: target.tls.cert: unknown field; expected ca or serverName'],
  ],
  [
    'a replication group for replicaof',
    edited('host: 10.0.0.6', 'replicationGroup: shop-cache'),
    [
      '7:1: target.host: missing, expected a host name or IP address (as the worker reaches it)',
      '8:3: target.replicationGroup: unknown field; expected host, port, username, password or tls',
    ],
  ],
  [
    'a bad replication group',
    'kind: elasticache-backup\nid: nightly\nreplicationGroup: shop_cache\n',
    [
      '3:19: replicationGroup: got "shop_cache", expected a replication group id: 1 to 40 letters, digits and single hyphens, a letter first, no hyphen last',
    ],
  ],
  [
    'a backup with fields of another kind',
    'kind: elasticache-backup\nid: nightly\nreplicationGroup: shop\nsource: { host: a }\n',
    [
      '4:1: source: unknown field; expected description, crashDetection, snapshot, snapshotName, kmsKeyId, timeout, daily, export, retention, schedule or aws',
    ],
  ],
  ['a field there twice', withMore('id: shop2\n'), ['9:1: the field id is there twice; keep one']],
  ['a tab', edited('  host: 10.0.0.6', '\thost: 10.0.0.6'), ['8:1: a tab; YAML is indented by spaces only']],
  [
    'a bracket that stays open',
    withMore('compare: { mode: full\n'),
    ['10:1: the indentation does not fit the lines above, or a quote or bracket is not closed'],
  ],
  [
    'crooked indentation',
    edited('  host: 10.0.0.6', '  host: 10.0.0.6\n port: 1'),
    ['9:1: the indentation does not fit the lines above, or a quote or bracket is not closed'],
  ],
  [
    'a missing space',
    edited('host: 10.0.0.6', 'host:10.0.0.6'),
    ['8:3: target: got "host:10.0.0.6", expected a mapping (indented `name: value` lines)'],
  ],
  ['two documents', withMore('---\n' + GOOD), ['9:1: a second document (---) begins here; one file is one migration']],
  [
    'an alias of itself',
    withMore('compare: &a [*a]\n'),
    ['1:1: aliases (*name) that contain themselves, or so many that they may be an attack; write the values out'],
  ],
  ['a key that is no text', withMore('? [a, b]\n: c\n'), ["9:3: a field's name must be plain text"]],
  [
    'a merge key',
    withMore('<<: { soak: 1m }\n'),
    [
      '9:1: ["<<"]: unknown field; expected description, crashDetection, allowNonEmptyTarget, compare, switch, abort, soak, fixFullResyncLoop, inSync, aws or cutover',
    ],
  ],
  [
    '__proto__',
    withMore('__proto__: { x: 1 }\n'),
    [
      '9:1: __proto__: unknown field; expected description, crashDetection, allowNonEmptyTarget, compare, switch, abort, soak, fixFullResyncLoop, inSync, aws or cutover',
    ],
  ],
  [
    'many at once',
    'kind: redis-onlin\nengin: replicaof\nid: Shop\nsorce: { hots: a, prot: 1 }\ntarget: { host: b:1, port: "6379" }\nsoak: 5\n',
    [
      `1:7: kind: got "redis-onlin", expected one of: ${KINDS.join(', ')}; did you mean \`redis-online\`?`,
      '2:1: engin: unknown field; did you mean `engine`?',
      '3:5: id: got "Shop", expected 1 to 40 lower-case letters, digits and hyphens, a letter first, no hyphen last',
      '4:1: sorce: unknown field; did you mean `source`?',
      '4:10: source.hots: unknown field; did you mean `host`?',
      '4:19: source.prot: unknown field; did you mean `port`?',
      '5:17: target.host: got "b:1", expected a host name or IP address alone; the port has its own field',
      '5:28: target.port: got "6379", expected a port, 1 to 65535; leave the quotes out',
      '6:7: soak: got 5, expected a duration such as 500ms, 30s, 10m, 2h or 7d; a number needs its unit: 5s',
    ],
  ],
];

describe('wrong files', () => {
  test.each(WRONG)('%s', (_, text, problems) => {
    expect(problemsOf(text)).toEqual(problems);
  });

  test('there are at least 30, and none shows the secret in it', () => {
    expect(WRONG.length).toBeGreaterThanOrEqual(30);
    const secret = WRONG.filter(([, text]) => /hun(ter2|\\ter2)/.test(text));
    expect(secret.length).toBeGreaterThanOrEqual(15);
    for (const [, text] of secret) expect(problemsOf(text).join('\n')).not.toMatch(/hunter2|ter2/);
  });

  test('the good one has none, and gets every default', () => {
    expect(problemsOf(GOOD)).toEqual([]);
    expect(parseMigration(GOOD, 'm.yaml')).toMatchObject({ crashDetection: 30_000, source: { port: 6379 }, soak: 0 });
  });

  test('aliases and CRLF are fine', () => {
    expect(problemsOf(withMore('soak: &long 1m\ninSync: { interval: *long }\n'))).toEqual([]);
    expect(problemsOf(GOOD.replaceAll('\n', '\r\n'))).toEqual([]);
  });

  test('a file nested without end ends in one problem', () => {
    // How deep is too deep depends on the stack that is left.
    expect(problemsOf('['.repeat(100_000))).toEqual([expect.stringMatching(/^1:\d+: nested too deeply$/)]);
  });
});

describe('what is no file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cutover-files-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string) => join(folder, name);
  const message = async (file: string) => {
    const error = await loadMigrationFile(file).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WrongFile);
    return (error as WrongFile).problems.map((problem) => problemText(problem).replace(folder, '…'));
  };

  test('a file that is not there', async () => {
    expect(await message(path('none.yaml'))).toEqual([`…/none.yaml: no such file (looked from ${process.cwd()})`]);
  });

  test('a folder', async () => {
    mkdirSync(path('folder'));
    expect(await message(path('folder'))).toEqual(['…/folder: is a folder; name the file of one migration']);
  });

  test('a file that is too large', async () => {
    writeFileSync(path('large.yaml'), '#'.repeat(LARGEST_FILE + 1));
    expect(await message(path('large.yaml'))).toEqual([
      "…/large.yaml: is 262145 bytes; a migration's file has at most 262144: is it the right file?",
    ]);
  });

  test('bytes that are no text', async () => {
    writeFileSync(path('dump.rdb'), Buffer.from([0x52, 0x45, 0xff, 0xfe, 0xc3, 0x28]));
    expect(await message(path('dump.rdb'))).toEqual(['…/dump.rdb: is not UTF-8 text; is it the right file?']);
  });

  test.skipIf(process.getuid?.() === 0)('a file that may not be read', async () => {
    writeFileSync(path('private.yaml'), GOOD);
    chmodSync(path('private.yaml'), 0);
    expect(await message(path('private.yaml'))).toEqual(['…/private.yaml: may not be read by this user']);
  });

  test('a UTF-8 file with a byte order mark is fine', async () => {
    writeFileSync(path('bom.yaml'), `\uFEFF${GOOD}`);
    expect(await loadMigrationFile(path('bom.yaml'))).toMatchObject({ id: 'shop' });
  });
});

describe('a migration as an object', () => {
  test('is checked as a file is; problems have a path', () => {
    const source = {
      kind: 'redis-online',
      id: 'shop',
      engine: 'replicaof',
      source: { host: 'a' },
      target: { hots: 'b' },
    };
    const error = catching(() => checkMigration(source as never));
    expect((error as WrongFile).problems).toEqual([
      { file: 'the migration', path: 'target.hots', message: 'unknown field; did you mean `host`?' },
    ]);
  });

  test('one that is no object is no crash', () => {
    for (const source of [null, undefined, 'x', [], 7]) {
      expect(catching(() => checkMigration(source as never))).toBeInstanceOf(WrongFile);
    }
  });
});

function catching(body: () => unknown): unknown {
  try {
    return body();
  } catch (error) {
    return error;
  }
}

describe('any text', () => {
  const RICH = `${GOOD}switch:
  - type: webhook
    url: https://deploy.example/
    headers: { Authorization: { env: TOKEN } }
cutover:
  gate: { from: 2026-11-21T02:00:00+09:00, to: 2026-11-21T04:00:00+09:00 }
`;
  const pieces = fc.oneof(
    fc.constantFrom(
      '\n',
      '\t',
      '  ',
      ': ',
      '- ',
      '*',
      '&a ',
      '*a',
      '!x ',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '|\n',
      '>',
      '#',
      '%',
      '---\n',
      '<<: ',
      '? ',
      '__proto__: ',
      'null',
      '1e999',
      '.nan',
      '\u0000',
      '\uFEFF',
      '🙂',
    ),
    fc.string({ maxLength: 6 }),
    fc.constantFrom(...RICH.split('\n').map((line) => `${line}\n`)),
  );
  const mutation = fc.record({ at: fc.nat(RICH.length), cut: fc.nat(40), add: pieces });
  const mutated = fc
    .array(mutation, { minLength: 1, maxLength: 6 })
    .map((mutations) =>
      mutations.reduce((text, { at, cut, add }) => text.slice(0, at) + add + text.slice(at + cut), RICH),
    );

  test('ends in a migration or in problems whose positions are in it', () => {
    expect(problemsOf(RICH)).toEqual([]);
    fc.assert(
      fc.property(fc.oneof(mutated, fc.string({ maxLength: 200 })), (text) => {
        const error = catching(() => parseMigration(text, 'm.yaml'));
        if (!(error instanceof Error)) return;
        expect(error).toBeInstanceOf(WrongFile);
        const { problems } = error as WrongFile;
        expect(problems.length).toBeGreaterThan(0);
        const lines = text.split('\n');
        for (const { line, column, message } of problems) {
          expect(line).toBeGreaterThanOrEqual(1);
          expect(line).toBeLessThanOrEqual(lines.length);
          expect(column).toBeGreaterThanOrEqual(1);
          expect(column).toBeLessThanOrEqual(lines[line! - 1]!.length + 1);
          expect(message).not.toBe('');
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('a password in the place of its name is never shown, whatever it looks like', () => {
    const odd = fc.string({ maxLength: 8, unit: fc.constantFrom(...'*&!%@`"\'{}[],:#|>-? \\abc1'.split('')) });
    fc.assert(
      fc.property(odd, odd, fc.constantFrom('password', 'passwrd', 'Password'), (before, after, name) => {
        const text = edited('password: { env: SOURCE_PASSWORD }', `${name}: ${before}hunter2${after}`);
        expect(problemsOf(text).join('\n')).not.toContain('hunter2');
      }),
      { numRuns: 3000 },
    );
  });
});

test('did you mean', () => {
  const names = ['target', 'source', 'switch', 'soak', 'id', 'aws'];
  expect(nearestName('taget', names)).toBe('target');
  expect(nearestName('TARGET', names)).toBe('target');
  expect(nearestName('souce', names)).toBe('source');
  expect(nearestName('siwtch', names)).toBe('switch');
  expect(nearestName('retries', names)).toBeUndefined();
  expect(nearestName('', names)).toBeUndefined();
});
