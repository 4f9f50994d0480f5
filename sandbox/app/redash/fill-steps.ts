/** One statement a table. Every value follows from its number and the seed; ids are the sequences' own, 1 and on. */

export type FillCounts = Record<(typeof FILL_STEPS)[number]['table'], number>;

interface Words {
  /** A whole number from 1 to `most`, the same for the same row, seed and `salt`. */
  pick: (most: number, salt: string) => string;
  /** 32 hex digits. */
  hash: (salt: string) => string;
  /** A time in the three years before the middle of 2026. */
  when: (salt: string) => string;
}

function words(seed: number): Words {
  const number = (salt: string): string => `(hashtextextended(i || '${salt}', ${seed}) & 9007199254740991)`;
  return {
    pick: (most, salt) => `(1 + ${number(salt)} % ${most})::int`,
    hash: (salt) => `md5('${seed}' || i || '${salt}')`,
    when: (salt) => `timestamptz '2026-06-30 12:00:00.123456+00' - ${number(salt)} % 94608000 * interval '1 second'`,
  };
}

const step = <T extends string>(
  table: T,
  columns: string,
  values: (words: Words, counts: Record<string, number>) => string,
  more: { triggers?: true } = {},
) => ({
  table,
  ...more,
  sql: (counts: Record<string, number>, seed: number): string =>
    `INSERT INTO ${table} (${columns}) SELECT ${values(words(seed), counts)} FROM generate_series(1, ${counts[table]}) AS i ORDER BY i`,
});

export const FILL_STEPS = [
  step('alembic_version', 'version_num', () => `'89bc7873a3e0'`),
  step(
    'organizations',
    'name, slug, settings, created_at, updated_at',
    ({ when }) =>
      `'Paiza ' || i, 'default-' || i, '{"beacon_consent": false, "time_format": "HH:mm"}', ${when('c')}, ${when('u')}`,
  ),
  step(
    'groups',
    'org_id, type, name, permissions, created_at',
    ({ when }) =>
      `1, CASE WHEN i < 3 THEN 'builtin' ELSE 'regular' END, 'Group ' || i, ARRAY['create_dashboard', 'view_source', NULL, 'a "b", c'], ${when('c')}`,
  ),
  step(
    'users',
    'org_id, name, email, profile_image_url, password_hash, groups, api_key, details, disabled_at, created_at, updated_at',
    ({ pick, hash, when }, { groups }) =>
      `1, (ARRAY['佐藤', 'Müller', 'O''Brien', 'Ивано́в', 'Nguyễn'])[${pick(5, 'n')}] || ' ' || i, 'user' || i || '@example.com',
       CASE WHEN i % 3 = 0 THEN NULL ELSE 'https://example.com/' || ${hash('p')} END, ${hash('w')} || ${hash('x')},
       ARRAY[1, ${pick(groups!, 'g')}], ${hash('k')}, jsonb_build_object('active_at', ${when('a')}, 'n', ${pick(1000, 'd')}),
       CASE WHEN i % 20 = 0 THEN ${when('d')} END, ${when('c')}, ${when('u')}`,
  ),
  step(
    'data_sources',
    'org_id, name, type, encrypted_options, created_at',
    ({ pick, hash, when }) =>
      `1, 'Warehouse ' || i, (ARRAY['pg', 'mysql', 'bigquery', 'athena'])[${pick(4, 't')}], decode(${hash('o')} || ${hash('q')}, 'hex'), ${when('c')}`,
  ),
  step(
    'data_source_groups',
    'data_source_id, group_id, view_only',
    ({ pick }, { data_sources, groups }) => `${pick(data_sources!, 'd')}, ${pick(groups!, 'g')}, i % 4 = 0`,
  ),
  step(
    'query_results',
    'org_id, data_source_id, query_hash, query, data, runtime, retrieved_at',
    ({ pick, hash, when }, { data_sources }) =>
      `1, ${pick(data_sources!, 's')}, ${hash('h')}, 'SELECT * FROM t' || ${pick(500, 't')} || ' WHERE day > ''2026-01-01''',
       '{"columns": [{"name": "日付", "type": "date"}], "rows": [' || repeat(${hash('a')} || ', ' || ${hash('b')} || E'\\\\n, ',
         CASE WHEN i % 500 = 0 THEN 1500 ELSE ${pick(14, 'r')} END) || ']}',
       ${pick(100000, 'm')} / 977.0, ${when('r')}`,
  ),
  step(
    'queries',
    'org_id, data_source_id, latest_query_data_id, name, description, query, query_hash, api_key, user_id, last_modified_by_id, is_archived, is_draft, schedule, options, tags, created_at, updated_at',
    ({ pick, hash, when }, { data_sources, query_results, users }) =>
      `1, ${pick(data_sources!, 's')}, CASE WHEN i % 10 = 0 THEN NULL ELSE ${pick(query_results!, 'r')} END,
       'Sales of ' || (ARRAY['monday', 'Zürich', '東京', 'new customers', 'the e-mail campaign'])[${pick(5, 'n')}] || ' ' || i,
       CASE WHEN i % 4 = 0 THEN NULL ELSE 'Made for team ' || ${pick(40, 'd')} END,
       'SELECT day, sum(amount) FROM orders_' || ${pick(90, 'q')} || ' GROUP BY day -- ' || ${hash('q')}, ${hash('h')}, ${hash('k')},
       ${pick(users!, 'u')}, ${pick(users!, 'm')}, i % 13 = 0, i % 3 = 0,
       CASE WHEN i % 5 = 0 THEN '{"interval": 3600,  "time": null}'::json END, '{"parameters": [],   "b": 1, "b": 2}',
       CASE WHEN i % 2 = 0 THEN ARRAY['kpi', 'team ' || ${pick(9, 'g')}] END, ${when('c')}, ${when('u')}`,
    { triggers: true },
  ),
  step(
    'dashboards',
    'org_id, slug, name, user_id, layout, is_archived, is_draft, tags, options, created_at, updated_at',
    ({ pick, when }, { users }) =>
      `1, 'dashboard-' || i, 'Dashboard ' || i, ${pick(users!, 'u')}, '[[1, 2]]', i % 11 = 0, i % 4 = 0, ARRAY['board', ''], '{"a": 1.10}', ${when('c')}, ${when('u')}`,
  ),
  step(
    'visualizations',
    'type, query_id, name, description, options, created_at, updated_at',
    ({ pick, hash, when }, { queries }) =>
      `(ARRAY['TABLE', 'CHART', 'PIVOT'])[${pick(3, 't')}], ${pick(queries!, 'q')}, 'Table', '', '{"itemsPerPage": 25, "key": "' || repeat(${hash('o')}, ${pick(6, 'l')}) || '"}', ${when('c')}, ${when('u')}`,
  ),
  step(
    'widgets',
    'visualization_id, text, width, options, dashboard_id, created_at, updated_at',
    ({ pick, when }, { visualizations, dashboards }) =>
      `CASE WHEN i % 6 = 0 THEN NULL ELSE ${pick(visualizations!, 'v')} END, CASE WHEN i % 6 = 0 THEN '# Notes' ELSE '' END, ${pick(2, 'w')},
       '{"position": {"col": ' || ${pick(6, 'p')} || '}}', ${pick(dashboards!, 'd')}, ${when('c')}, ${when('u')}`,
  ),
  step(
    'alerts',
    'name, query_id, user_id, options, state, last_triggered_at, rearm, created_at, updated_at',
    ({ pick, when }, { queries, users }) =>
      `'Alert ' || i, ${pick(queries!, 'q')}, ${pick(users!, 'u')}, jsonb_build_object('op', '>', 'value', ${pick(1000, 'v')} / 7.0),
       (ARRAY['unknown', 'ok', 'triggered'])[${pick(3, 's')}], CASE WHEN i % 2 = 0 THEN ${when('l')} END, CASE WHEN i % 3 = 0 THEN 60 END, ${when('c')}, ${when('u')}`,
  ),
  step(
    'notification_destinations',
    'org_id, user_id, name, type, encrypted_options, created_at',
    ({ pick, hash, when }, { users }) =>
      `1, ${pick(users!, 'u')}, 'Slack ' || i, 'slack', decode(${hash('o')}, 'hex'), ${when('c')}`,
  ),
  step(
    'alert_subscriptions',
    'user_id, destination_id, alert_id, created_at, updated_at',
    ({ pick, when }, { users, alerts, notification_destinations }) =>
      `${pick(users!, 'u')}, CASE WHEN i <= ${alerts} THEN 1 + i % ${notification_destinations} END, 1 + i % ${alerts}, ${when('c')}, ${when('u')}`,
  ),
  step(
    'events',
    'org_id, user_id, action, object_type, object_id, additional_properties, created_at',
    ({ pick, hash, when }, { users, queries }) =>
      `1, ${pick(users!, 'u')}, (ARRAY['view', 'execute', 'edit', 'login'])[${pick(4, 'a')}], (ARRAY['query', 'dashboard', 'page'])[${pick(3, 't')}],
       ${pick(queries!, 'q')}::text, '{"ip": "10.0.' || ${pick(200, 'i')} || '.7", "agent": "' || left(${hash('g')}, ${pick(32, 'l')}) || '"}', ${when('c')}`,
  ),
  step(
    'api_keys',
    'org_id, api_key, active, object_type, object_id, created_by_id, created_at, updated_at',
    ({ pick, hash, when }, { dashboards, users }) =>
      `1, ${hash('k')}, i % 9 > 0, 'dashboards', ${pick(dashboards!, 'd')}, ${pick(users!, 'u')}, ${when('c')}, ${when('u')}`,
  ),
  step(
    'query_snippets',
    'org_id, trigger, description, user_id, snippet, created_at, updated_at',
    ({ pick, when }, { users }) =>
      `1, 'snippet ' || i, 'What ''' || i || ''' does', ${pick(users!, 'u')}, 'LIMIT ' || ${pick(100, 's')}, ${when('c')}, ${when('u')}`,
  ),
  step(
    'favorites',
    'org_id, object_type, object_id, user_id, created_at',
    ({ when }, { users }) => `1, 'Dashboard', 1 + i / ${users}, 1 + i % ${users}, ${when('c')}`,
  ),
  step(
    'changes',
    'object_type, object_id, object_version, user_id, change, created_at',
    ({ pick, hash, when }, { queries, users }) =>
      `'queries', ${pick(queries!, 'q')}, ${pick(30, 'v')}, ${pick(users!, 'u')}, json_build_object('name', json_build_object('previous', ${hash('p')}, 'current', ${hash('n')})), ${when('c')}`,
  ),
  step(
    'access_permissions',
    'object_type, object_id, access_type, grantor_id, grantee_id',
    ({ pick }, { queries, users }) =>
      `'queries', ${pick(queries!, 'q')}, 'modify', ${pick(users!, 'g')}, ${pick(users!, 'e')}`,
  ),
];
