/** Load balancer hooks, with moto's ELB and EC2, and a scripted ELB for health that changes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateSubnetCommand, CreateVpcCommand, EC2Client, RunInstancesCommand } from '@aws-sdk/client-ec2';
import {
  CreateListenerCommand,
  CreateLoadBalancerCommand,
  CreateRuleCommand,
  CreateTargetGroupCommand,
  DescribeListenersCommand,
  DescribeRulesCommand,
  DescribeTargetHealthCommand,
  ModifyListenerCommand,
  RegisterTargetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { closeAwsClients, elbv2 } from '../activities/aws/clients.ts';
import { prepareHooks, runHooks, undoHooks } from '../activities/hooks/run-hooks.ts';
import { startMoto, type MotoServer } from '../sandbox/runtime/moto.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import { hook as hookSchema, hookTitle, type Hook } from '../spec/hooks.ts';

const dir = mkdtempSync(join(tmpdir(), 'cutover-hooks-elb-'));
const base = { migrationId: 'orders', target: { host: 'new.db.internal', port: 5432 } };
let moto: MotoServer;
let listener = '';
let rule = '';
let old = '';
let fresh = '';
let vpc = '';
let oldTargets: string[] = [];

const hooks = (...list: z.input<typeof hookSchema>[]): Hook[] => z.array(hookSchema).parse(list);
async function run<A extends object, R>(fn: (args: A) => Promise<R>, args: A): Promise<R> {
  return await new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') }).run(fn, args);
}
const failureOf = async (promise: Promise<unknown>): Promise<any> =>
  promise.then(
    () => expect.unreachable('did not fail'),
    (error: unknown) => error,
  );

beforeAll(async () => {
  moto = await startMoto({ dir: join(dir, 'moto') });
  vi.stubEnv('AWS_ENDPOINT_URL', moto.url);
  vi.stubEnv('AWS_REGION', 'ap-northeast-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
  const ec2 = new EC2Client({});
  vpc = (await ec2.send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16' }))).Vpc!.VpcId!;
  const subnet = async (zone: string, block: string) =>
    (await ec2.send(new CreateSubnetCommand({ VpcId: vpc, CidrBlock: block, AvailabilityZone: zone }))).Subnet!
      .SubnetId!;
  const Subnets = [await subnet('ap-northeast-1a', '10.0.1.0/24'), await subnet('ap-northeast-1c', '10.0.2.0/24')];
  const machines = await ec2.send(new RunInstancesCommand({ ImageId: 'ami-12c6146b', MinCount: 3, MaxCount: 3 }));
  const [a = '', b = '', c = ''] = machines.Instances!.map(({ InstanceId }) => InstanceId!);
  ec2.destroy();
  const lb = (await elbv2().send(new CreateLoadBalancerCommand({ Name: 'web', Subnets }))).LoadBalancers![0]!;
  const group = async (Name: string, ids: string[]) => {
    const made = await elbv2().send(new CreateTargetGroupCommand({ Name, Protocol: 'HTTP', Port: 80, VpcId: vpc }));
    const arn = made.TargetGroups![0]!.TargetGroupArn!;
    await elbv2().send(new RegisterTargetsCommand({ TargetGroupArn: arn, Targets: ids.map((Id) => ({ Id })) }));
    return arn;
  };
  old = await group('old', [a, b]);
  fresh = await group('new', [c]);
  oldTargets = [a, b].sort();
  const made = await elbv2().send(
    new CreateListenerCommand({
      LoadBalancerArn: lb.LoadBalancerArn,
      Protocol: 'HTTP',
      Port: 80,
      DefaultActions: [{ Type: 'forward', TargetGroupArn: old }],
    }),
  );
  listener = made.Listeners![0]!.ListenerArn!;
  const ruled = await elbv2().send(
    new CreateRuleCommand({
      ListenerArn: listener,
      Priority: 5,
      Conditions: [{ Field: 'path-pattern', Values: ['/redash/*'] }],
      Actions: [{ Type: 'forward', TargetGroupArn: old }],
    }),
  );
  rule = ruled.Rules![0]!.RuleArn!;
}, 180_000);
afterAll(async () => {
  vi.unstubAllEnvs();
  closeAwsClients();
  await moto?.kill();
  rmSync(dir, { recursive: true, force: true });
});

const goesTo = async () =>
  (await elbv2().send(new DescribeListenersCommand({ ListenerArns: [listener] }))).Listeners![0]!.DefaultActions![0]!
    .TargetGroupArn;
const ruleGoesTo = async () =>
  (await elbv2().send(new DescribeRulesCommand({ RuleArns: [rule] }))).Rules![0]!.Actions![0]!.TargetGroupArn;
const registered = async (group: string) =>
  (await elbv2().send(new DescribeTargetHealthCommand({ TargetGroupArn: group })))
    .TargetHealthDescriptions!.filter(({ TargetHealth }) => TargetHealth?.State !== 'draining')
    .map(({ Target }) => Target!.Id!)
    .sort();

describe('elb-listener', () => {
  test('a listener goes to the new target group, twice the same; undo puts the old one back, twice the same', async () => {
    const list = hooks({ type: 'elb-listener', listener, targetGroup: fresh, timeout: '20s' });
    const before = await run(prepareHooks, { ...base, hooks: list });
    expect(await goesTo()).toBe(old);
    const { done } = await run(runHooks, { ...base, hooks: list, before });
    expect(await goesTo()).toBe(fresh);
    expect((await run(runHooks, { ...base, hooks: list, before: done })).done).toEqual(done);
    await run(undoHooks, { ...base, hooks: list, done });
    await run(undoHooks, { ...base, hooks: list, done });
    expect(await goesTo()).toBe(old);
  });

  test('a rule, and nothing but the rule', async () => {
    const list = hooks({ type: 'elb-listener', rule, targetGroup: fresh, timeout: '20s' });
    const { done } = await run(runHooks, { ...base, hooks: list });
    expect([await ruleGoesTo(), await goesTo()]).toEqual([fresh, old]);
    await run(undoHooks, { ...base, hooks: list, done });
    expect(await ruleGoesTo()).toBe(old);
  });

  test("undo leaves somebody else's later change alone, and says so", async () => {
    const list = hooks({ type: 'elb-listener', listener, targetGroup: fresh, timeout: '20s' });
    const { done } = await run(runHooks, { ...base, hooks: list });
    const page = [{ Type: 'fixed-response' as const, FixedResponseConfig: { StatusCode: '503' } }];
    await elbv2().send(new ModifyListenerCommand({ ListenerArn: listener, DefaultActions: page }));
    const failure = await failureOf(run(undoHooks, { ...base, hooks: list, done }));
    expect(failure.message).toContain('was changed by somebody else since');
    const back = [{ Type: 'forward' as const, TargetGroupArn: old }];
    await elbv2().send(new ModifyListenerCommand({ ListenerArn: listener, DefaultActions: back }));
  });

  test('looking ahead: a target group without targets, a listener that is not there', async () => {
    const none = await elbv2().send(
      new CreateTargetGroupCommand({ Name: 'none', Protocol: 'HTTP', Port: 80, VpcId: vpc }),
    );
    const empty = hooks({ type: 'elb-listener', listener, targetGroup: none.TargetGroups![0]!.TargetGroupArn! });
    expect((await failureOf(run(prepareHooks, { ...base, hooks: empty }))).message).toContain('none has no targets');
    const gone = hooks({ type: 'elb-listener', listener: `${listener}x`, targetGroup: fresh, timeout: '5s' });
    const failure = await failureOf(run(prepareHooks, { ...base, hooks: gone }));
    expect(failure.message).toMatch(/hook 1\/1 load balancer to new: .*listener/);
    expect(failure.details[0].errorType).toBe('cutover.NotFound');
  });

  test('waits until every target is healthy, and names the one that is not', async () => {
    const group = 'arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/new/1';
    const arn = 'arn:aws:elasticloadbalancing:us-east-1:1:listener/app/web/1/1';
    let looks = 0;
    const states = (n: number): string[] => {
      if (n < 3) return ['unused', 'unused'];
      if (n < 5) return ['initial', 'healthy'];
      return n < 7 ? ['unhealthy', 'healthy', 'draining'] : ['healthy', 'healthy', 'draining'];
    };
    let forward = 'arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/old/1';
    const server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        const action = new URLSearchParams(body).get('Action')!;
        const answer = (inner: string) =>
          response
            .writeHead(200, { 'content-type': 'text/xml' })
            .end(`<${action}Response><${action}Result>${inner}</${action}Result></${action}Response>`);
        if (action === 'DescribeTargetHealth') {
          const members = states((looks += 1)).map(
            (state, at) =>
              `<member><Target><Id>i-${at}</Id><Port>80</Port></Target><TargetHealth><State>${state}</State></TargetHealth></member>`,
          );
          return answer(`<TargetHealthDescriptions>${members.join('')}</TargetHealthDescriptions>`);
        }
        if (action === 'ModifyListener') forward = group;
        return answer(
          `<Listeners><member><DefaultActions><member><Type>forward</Type><TargetGroupArn>${forward}</TargetGroupArn></member></DefaultActions></member></Listeners>`,
        );
      });
    });
    const port = await freePort();
    await new Promise<void>((ready) => server.listen(port, '127.0.0.1', ready));
    vi.stubEnv('AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2', `http://127.0.0.1:${port}`);
    const texts: string[] = [];
    try {
      const env = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
      env.on('heartbeat', (beat: { progress?: { text: string } }) => texts.push(beat.progress?.text ?? ''));
      await env.run(runHooks, {
        ...base,
        hooks: hooks({ type: 'elb-listener', listener: arn, targetGroup: group, timeout: '2s' }),
      });
    } finally {
      vi.stubEnv('AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2', undefined);
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    }
    expect(forward).toBe(group);
    // The look that ended it is the first one at which no target but a leaving one was missing.
    expect(looks).toBe(7);
    expect(texts).toContain('hook 1/1 load balancer to new: 1 of 2 targets of new are healthy (i-0 is unhealthy)');
  });
});

describe('elb-deregister', () => {
  test('all targets are taken out, twice the same; undo registers them again, twice the same', async () => {
    const list = hooks({ type: 'elb-deregister', targetGroup: old, timeout: '20s' });
    const before = await run(prepareHooks, { ...base, hooks: list });
    expect(await registered(old)).toEqual(oldTargets);
    const { done } = await run(runHooks, { ...base, hooks: list, before });
    expect(await registered(old)).toEqual([]);
    await run(runHooks, { ...base, hooks: list, before: done });
    await run(undoHooks, { ...base, hooks: list, done });
    await run(undoHooks, { ...base, hooks: list, done });
    expect(await registered(old)).toEqual(oldTargets);
  });

  test('only those that the file names', async () => {
    const [first = '', second = ''] = oldTargets;
    const list = hooks({ type: 'elb-deregister', targetGroup: old, targets: [{ id: first }], timeout: '20s' });
    const { done } = await run(runHooks, { ...base, hooks: list });
    expect(await registered(old)).toEqual([second]);
    await run(undoHooks, { ...base, hooks: list, done });
    expect(await registered(old)).toEqual(oldTargets);
    const wrong = hooks({ type: 'elb-deregister', targetGroup: old, targets: [{ id: 'i-not-there' }] });
    expect((await failureOf(run(prepareHooks, { ...base, hooks: wrong }))).message).toContain(
      'i-not-there is no target of old',
    );
  });
});

test('what the file may say, and what it is called', () => {
  const bad = (more: object) => hookSchema.safeParse({ type: 'elb-listener', targetGroup: fresh, ...more }).success;
  expect([bad({}), bad({ listener, rule }), bad({ listener: 'web' }), bad({ listener }), bad({ rule })]).toEqual([
    false,
    false,
    false,
    true,
    true,
  ]);
  const [a, b] = hooks(
    { type: 'elb-listener', listener, targetGroup: fresh },
    { type: 'elb-deregister', targetGroup: old, targets: [{ id: 'i-1' }] },
  );
  expect([hookTitle(a!), hookTitle(b!)]).toEqual(['load balancer to new', 'deregister i-1 of old']);
});
