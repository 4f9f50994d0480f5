/** Redash 10's secondary indexes and its search trigger; a view and comments beside them, for they must not get lost either. */
export const REDASH_INDEXES = `
CREATE UNIQUE INDEX users_org_id_email ON users (org_id, email);
CREATE INDEX users_active ON users (org_id) WHERE disabled_at IS NULL;
CREATE UNIQUE INDEX data_sources_org_id_name ON data_sources (org_id, name);
CREATE INDEX ix_query_results_query_hash ON query_results (query_hash);
CREATE INDEX ix_query_results_retrieved_at ON query_results (data_source_id, retrieved_at DESC);
CREATE INDEX ix_queries_is_archived ON queries (is_archived);
CREATE INDEX ix_queries_is_draft ON queries (is_draft);
CREATE INDEX ix_queries_live ON queries (org_id, updated_at) WHERE NOT is_archived;
CREATE INDEX ix_queries_lower_name ON queries (lower(name));
CREATE INDEX ix_queries_search_vector ON queries USING gin (search_vector);
CREATE INDEX ix_queries_tags ON queries USING gin (tags);
CREATE INDEX ix_dashboards_slug ON dashboards (slug);
CREATE INDEX ix_dashboards_is_archived ON dashboards (is_archived);
CREATE INDEX ix_dashboards_is_draft ON dashboards (is_draft);
CREATE INDEX ix_widgets_dashboard_id ON widgets (dashboard_id);
CREATE INDEX ix_visualizations_query_id ON visualizations (query_id);
CREATE UNIQUE INDEX notification_destinations_org_id_name ON notification_destinations (org_id, name);
CREATE UNIQUE INDEX alert_subscriptions_destination_id_alert_id ON alert_subscriptions (destination_id, alert_id);
CREATE INDEX ix_events_created_at ON events (created_at);
CREATE INDEX ix_events_object ON events (object_type, object_id);
CREATE INDEX ix_api_keys_api_key ON api_keys (api_key);
CREATE INDEX api_keys_object_type_object_id ON api_keys (object_type, object_id);
CREATE INDEX ix_changes_object ON changes (object_type, object_id, object_version);

CREATE FUNCTION queries_search_vector_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.search_vector =
    setweight(to_tsvector('pg_catalog.simple', regexp_replace(coalesce(NEW.name, ''), '[-@.]', ' ', 'g')), 'A') ||
    setweight(to_tsvector('pg_catalog.simple', coalesce(CAST(NEW.id AS text), '')), 'B') ||
    setweight(to_tsvector('pg_catalog.simple', regexp_replace(coalesce(NEW.description, ''), '[-@.]', ' ', 'g')), 'C') ||
    setweight(to_tsvector('pg_catalog.simple', regexp_replace(coalesce(NEW.query, ''), '[-@.]', ' ', 'g')), 'D');
  RETURN NEW;
END $$;

CREATE TRIGGER queries_search_vector_trigger BEFORE INSERT OR UPDATE ON queries
  FOR EACH ROW EXECUTE FUNCTION queries_search_vector_update();

CREATE VIEW live_queries AS
  SELECT q.id, q.name, u.email AS owner, r.retrieved_at, r.runtime
  FROM queries q JOIN users u ON u.id = q.user_id LEFT JOIN query_results r ON r.id = q.latest_query_data_id
  WHERE NOT q.is_archived;

COMMENT ON TABLE query_results IS 'What queries answered; the newest of each is shown';
COMMENT ON COLUMN queries.search_vector IS 'Kept by queries_search_vector_trigger';
COMMENT ON SEQUENCE change_numbers IS 'Of every change in every table; no column owns it';
COMMENT ON VIEW live_queries IS 'Queries that are not archived';
`;
