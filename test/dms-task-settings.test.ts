/** DMS's task settings: safe by default, the file's own laid over them, and what each document would lose. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { taskSettings } from '../sandbox/aws/dms/settings.ts';
import { lossesOf, taskSettingsOf, type SettingsSource } from '../spec/dms-task-settings.ts';

const article = JSON.parse(readFileSync('examples/redash-task-settings.json', 'utf8')) as Record<string, unknown>;
const source = (more: Partial<SettingsSource['replication']> = {}, afterLoad = ['indexes']): SettingsSource => ({
  replication: {
    load: { tablesAtOnce: 4, commitRate: 5000, transactionConsistencyTimeout: 90_500, lob: 'auto' },
    validation: true,
    ...more,
  },
  schema: { afterLoad },
});
const lob = (largestLob: number, choice: SettingsSource['replication']['load']['lob'] = 'auto') =>
  taskSettingsOf(source({ load: { ...source().replication.load, lob: choice } }), { largestLob })[
    'TargetMetadata'
  ] as Record<string, unknown>;

describe('generated', () => {
  test('lose nothing, and AWS takes them', () => {
    const settings = taskSettingsOf(source(), { largestLob: 1_000_000 });
    expect(lossesOf(settings)).toEqual([]);
    expect(taskSettings(JSON.stringify(settings))).toMatchObject(settings);
    expect(settings['FullLoadSettings']).toMatchObject({
      TargetTablePrepMode: 'TRUNCATE_BEFORE_LOAD',
      StopTaskCachedChangesApplied: true,
      MaxFullLoadSubTasks: 4,
      CommitRate: 5000,
      TransactionConsistencyTimeout: 91,
    });
  });

  test('nothing to build after the load: no stop between load and CDC', () => {
    const settings = taskSettingsOf(source({}, []), { largestLob: 0 });
    expect(settings['FullLoadSettings']).toMatchObject({ StopTaskCachedChangesApplied: false });
  });

  test('the size of LOBs: measured × 2 in KB, never small, full where limited is no use', () => {
    expect(lob(0)).toMatchObject({ LimitedSizeLobMode: true, FullLobMode: false, LobMaxSize: 1024 });
    expect(lob(1024 * 1000)).toMatchObject({ LobMaxSize: 2000 });
    expect(lob(80_000 * 1024)).toMatchObject({ LobMaxSize: 102_400 });
    expect(lob(200_000_000)).toMatchObject({ LimitedSizeLobMode: false, FullLobMode: true });
    expect(lob(5, 'full')).toMatchObject({ LimitedSizeLobMode: false, FullLobMode: true });
    expect(lob(200_000_000, { maxKilobytes: 77 })).toMatchObject({ LimitedSizeLobMode: true, LobMaxSize: 77 });
  });

  test("a file's settings are laid over them, deeply; lists and nulls in place of what was there", () => {
    const given = {
      ErrorBehavior: { RecoverableErrorCount: 7 },
      BeforeImageSettings: null,
      Logging: { LogComponents: [] },
    };
    const settings = taskSettingsOf(source({ taskSettings: given }), { largestLob: 0 });
    expect(settings['ErrorBehavior']).toMatchObject({ RecoverableErrorCount: 7, DataErrorPolicy: 'SUSPEND_TABLE' });
    expect(settings).toMatchObject({ BeforeImageSettings: null, Logging: { LogComponents: [] } });
  });
});

describe('what is lost', () => {
  test("the article's: every setting by name, with its value", () => {
    const settings = taskSettingsOf(source({ taskSettings: article }), { largestLob: 0 });
    const found = new Map(lossesOf(settings).map(({ setting, value }) => [setting, value]));
    expect(Object.fromEntries(found)).toEqual({
      'ErrorBehavior.DataErrorPolicy': 'LOG_ERROR',
      'ErrorBehavior.DataTruncationErrorPolicy': 'LOG_ERROR',
      'ErrorBehavior.ApplyErrorInsertPolicy': 'LOG_ERROR',
      'ErrorBehavior.ApplyErrorUpdatePolicy': 'LOG_ERROR',
      'ErrorBehavior.ApplyErrorDeletePolicy': 'IGNORE_RECORD',
      'ErrorBehavior.ApplyErrorEscalationPolicy': 'LOG_ERROR',
      'ErrorBehavior.RecoverableErrorCount': -1,
      'ErrorBehavior.FailOnTransactionConsistencyBreached': false,
      'TargetMetadata.TaskRecoveryTableEnabled': false,
      'FullLoadSettings.TargetTablePrepMode': 'DO_NOTHING',
      'FullLoadSettings.MaxFullLoadSubTasks': 1,
      'ControlTablesSettings.SuspendedTablesTableEnabled': false,
      'ControlTablesSettings.StatusTableEnabled': false,
    });
    for (const loss of lossesOf(settings)) {
      expect(loss.loses.length).toBeGreaterThan(10);
      expect(loss.mend).not.toBe('');
    }
    expect(() => taskSettings(JSON.stringify(settings))).not.toThrow();
  });

  test('an empty document: DMS’s own defaults lose rows, too', () => {
    const names = lossesOf({}).map(({ setting }) => setting);
    expect(names).toContain('ErrorBehavior.ApplyErrorDeletePolicy');
    expect(names).toContain('ValidationSettings.EnableValidation');
    expect(lossesOf({ ErrorBehavior: null })).toEqual(lossesOf({}));
  });

  test('no LOB size in the limited mode, and none in the full mode', () => {
    const of = (metadata: object) =>
      lossesOf({ TargetMetadata: metadata }).filter(({ setting }) => setting.endsWith('LobMaxSize'));
    expect(of({ LimitedSizeLobMode: true, LobMaxSize: 0 })).toHaveLength(1);
    expect(of({ FullLobMode: true, LobMaxSize: 0 })).toHaveLength(0);
    expect(of({ LimitedSizeLobMode: true, LobMaxSize: 64 })).toHaveLength(0);
  });

  test('each mend mends', () => {
    const mended = (mend: string): unknown =>
      JSON.parse(/^(".+?"|true|false|\d+|a number such as (\d+))/.exec(mend)![0].replace('a number such as ', ''));
    for (const { setting, value, mend } of lossesOf(article)) {
      const [group = '', name = ''] = setting.split('.');
      const settings = structuredClone(article);
      (settings[group] as Record<string, unknown>)[name] = mended(mend);
      expect(lossesOf(settings).map((loss) => [loss.setting, loss.value])).not.toContainEqual([setting, value]);
    }
  });
});
