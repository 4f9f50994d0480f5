/** The task's own documents: mappings, and settings under which DMS loses rows without a word (facts 4.6). */
import { lossesOf, taskSettingsOf } from '../../../spec/dms-task-settings.ts';
import { mappingProblems } from '../../../spec/dms-table-mappings.ts';
import { fail, pass, unmet, warn } from '../../preflight/check.ts';
import type { PostgresCheck } from './context.ts';

export const taskChecks: readonly PostgresCheck[] = [
  {
    id: 'D.settings',
    title: 'no setting of the task loses rows silently',
    severity: 'warn',
    remedy: () => 'in the file: leave them out of replication.taskSettings',
    byHand: () => 'read replication.taskSettings against the DMS guide',
    // oxlint-disable-next-line typescript/require-await -- the others ask a server
    run: async (c) => {
      const losses = lossesOf(taskSettingsOf(c.migration, { largestLob: 0 }));
      if (losses.length === 0) return pass('none');
      return unmet(
        losses.map(({ setting, value, loses }) => `${setting} = ${JSON.stringify(value)}: ${loses}`).join('; '),
        `in the file, replication.taskSettings: ${losses.map(({ setting, mend }) => `${setting}: ${mend}`).join('; ')}`,
      );
    },
  },
  {
    id: 'D.mappings',
    title: "the file's own table mappings are as DMS takes them",
    severity: 'fail',
    remedy: () => 'correct replication.tableMappings, or name the tables under tables.include and exclude',
    byHand: () => 'read replication.tableMappings against the DMS guide',
    // oxlint-disable-next-line typescript/require-await -- the others ask a server
    run: async (c) => {
      const own = c.migration.replication.tableMappings;
      if (!own) return pass('generated from tables.include and exclude');
      const problems = mappingProblems(own);
      if (problems.length === 0) return pass('they are');
      const found = problems.map(({ rule, problem }) => (rule ? `rule ${rule}: ${problem}` : problem)).join('; ');
      const mend = `in replication.tableMappings: ${problems.map((p) => p.mend).join('; ')}`;
      return problems.some(({ severity }) => severity === 'fail') ? fail(found, mend) : warn(found, mend);
    },
  },
];
