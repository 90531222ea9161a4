//! `/`: what is here, for whoever opens the port in a browser or with curl.

const INDEX: &str = "\
Waypost's admin API

GET    /healthz                        the process lives
GET    /readyz                         it can route; the table's state and age
GET    /metrics                        numbers for Prometheus: the table, its age and its store
GET    /api/v1/table                   the table's state
GET    /api/v1/routes                  every entry with its instances and their health; ?host= for one
POST   /api/v1/routes                  changes the table: all the changes given, or none
DELETE /api/v1/routes/HOST             removes an entry; ?address= or ?backend= for an instance of it
GET    /api/v1/remap                   what is known of a memcached table
POST   /api/v1/remap                   changes a memcached table: routes by URL
GET    /api/v1/explain?url=URL         how a request would be routed
GET    /api/v1/check                   entries that can't work
POST   /api/v1/prune                   removes instances that do not answer
POST   /api/v1/import                  takes in JSON lines, all or none; ?mode=replace for nothing else
GET    /api/v1/export                  the table as JSON lines
GET    /api/v1/backends                the backend tree and its health
GET    /api/v1/backends/explain?url=URL  the way a request would take through it

Changes are sent as application/json or application/x-ndjson. Errors are problem details (RFC 9457).
";

pub(crate) async fn index() -> &'static str {
    INDEX
}
